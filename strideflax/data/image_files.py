"""Image files that belong to no data set, in the form in which a run takes its images."""

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from strideflax.data.image_decoding import SUFFIXES, UnreadableImageError, decode_rectangle
from strideflax.errors import DataError, one_line


def find_image_files(paths: Sequence[Path]) -> list[Path]:
    """Return ``paths`` with each folder replaced by the image files in it and below it, in the order of their names.

    Files in a folder whose names begin with a dot, as macOS leaves them, are passed over.

    Raises:
        DataError: a path that does not exist, or a folder that has no image files or can't be read.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(_images_below(path))
            if not inside:
                raise DataError(f"{path} holds no image files; expected names that end in {', '.join(SUFFIXES)}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise DataError(f"{path} does not exist")
    return found


def _images_below(folder: Path) -> Iterator[Path]:
    """Yield the image files in ``folder`` and below it, in any order."""
    for inside, _, names in os.walk(folder, onerror=_refuse):
        for file in (Path(inside, name) for name in names):
            if _is_named_as_image(file) and file.is_file():
                yield file


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename} can't be read: {error.strerror}") from None


def _is_named_as_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def read_image_files(paths: Sequence[Path], shape: Sequence[int], stretch: Sequence[int] = (1, 1)) -> np.ndarray:
    """Return the image files ``paths`` as uint8 ``[n, *shape]``, by the rule of `decode_rectangle`.

    Args:
        paths: JPEG, PNG, WebP, BMP, PPM or TIFF files of any size.
        shape: height, width and channels of the images that a run was trained on.
        stretch: how often each pixel of a decoded image is repeated along rows and columns to get there, as in `DataConfig`.

    Raises:
        DataError: a file that can't be read as an image.
    """
    height, width, channels = shape[0] // stretch[0], shape[1] // stretch[1], shape[2]
    images = np.empty((len(paths), *shape), np.uint8)
    for i, path in enumerate(paths):
        try:
            with warnings.catch_warnings(action="ignore"):  # Pillow's, about metadata that has no bearing on the pixels
                pixels = decode_rectangle(path.read_bytes(), height, width, channels)
        except OSError as error:
            raise DataError(f"{path} can't be read: {error.strerror or one_line(error)}") from None
        except UnreadableImageError as error:
            raise DataError(f"{path} can't be read as an image: {error}") from None
        images[i] = pixels.repeat(stretch[0], axis=0).repeat(stretch[1], axis=1)
    return images
