"""Images with a class for each pixel, from a folder or a tar archive of pairs.

They lie as ``SPLIT/images/NAME.jpg`` and ``SPLIT/labels/NAME.png`` (or ``masks``), SPLIT being ``train``, ``test`` and perhaps
``val``. Files whose names begin with a dot are passed over. A mask has one channel, in which each pixel is its class's number,
or 255 for none. A file ``classes.txt`` beside the splits names the classes, one a line, from 0 on.
"""

import contextlib
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageOps

from strideflax.data.dataset import VOID, Split
from strideflax.data.image_decoding import UnreadableImageError, opened, pillow_errors, with_channels
from strideflax.errors import DataError, one_line
from strideflax.wording import counted

SPLITS = ("train", "val", "test")
MASK_FOLDERS = ("labels", "masks")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
CLASS_FILE = "classes.txt"
MODES = ("1", "L", "P", "I", "I;16")  # Pillow's, of images with one channel of whole numbers

Files: TypeAlias = Mapping[PurePosixPath, Callable[[], bytes]]  # each file's content, by its path below the splits


@dataclass(frozen=True)
class MaskedImages:
    """The splits of a folder, ``val`` possibly empty, and the names of the classes."""

    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split


def read_masked_images(
    place: Path, *, classes: tuple[str, ...] | None = None, void_label: int | None = None
) -> MaskedImages:
    """Read the pairs in ``place``, a folder or a tar archive, in the order of their names.

    Args:
        place: where the splits are, at the top or in a single folder there.
        classes: names of the classes; None reads ``classes.txt``, and numbers the classes where that is missing.
        void_label: a number in the masks that means no class, besides 255.

    Raises:
        DataError: no such place; images and masks that are not in pairs, not of one size, or that can't be read; numbers
            that are no class; or masks that hold a single class.
    """
    files = _files(place)
    names = classes or _class_names(files)
    splits, masks = {}, {}
    for split in SPLITS:
        splits[split], masks[split] = _read_split(files, split, place)
    for split in ("train", "test"):
        if not len(splits[split]):
            raise DataError(
                f"{place} has no {split} images: expected {split}/images, and masks of the same names in {split}/labels"
            )
    shapes = {split.images.shape[1:] for split in splits.values() if len(split)}
    if len(shapes) > 1:
        sizes = ", ".join(f"{height} x {width}" for height, width, _ in sorted(shapes))
        raise DataError(f"the splits in {place} have images of different sizes ({sizes}), expected one size")
    for found in splits.values():
        if void_label is not None:
            found.labels[found.labels == void_label] = VOID
    names = names or _numbered_classes(splits["train"].labels)
    _check_classes(splits, masks, names, place)
    return MaskedImages(names, **splits)


def _files(place: Path) -> Files:
    """Return the files below ``place``; a single folder at the top is left out of their paths."""
    try:
        if place.is_dir():
            found = {}
            for path in sorted(place.rglob("*")):
                if path.is_file():
                    found[PurePosixPath(path.relative_to(place).as_posix())] = path.read_bytes
        elif place.is_file():
            found = _archive_files(place)
        else:
            raise DataError(
                f"there is no folder {place}; --config.data.dir must name one with train/images and train/labels"
            )
    except (OSError, tarfile.TarError, EOFError) as error:
        raise DataError(f"{place} can't be read: {one_line(error)}") from None
    found = {path: read for path, read in found.items() if not path.name.startswith(".")}  # macOS's ._NAME and others
    tops = {path.parts[0] for path in found}
    if len(tops) == 1 and tops.isdisjoint(SPLITS):
        return {PurePosixPath(*path.parts[1:]): read for path, read in found.items() if len(path.parts) > 1}
    return found


def _archive_files(place: Path) -> dict[PurePosixPath, Callable[[], bytes]]:
    """Return the files of a tar archive, read whole, as a compressed one can't be read in another order."""
    found: dict[PurePosixPath, Callable[[], bytes]] = {}
    with tarfile.open(place) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                found[PurePosixPath(member.name)] = io.BytesIO(file.read()).getvalue
    return dict(sorted(found.items()))


def _class_names(files: Files) -> tuple[str, ...] | None:
    read = files.get(PurePosixPath(CLASS_FILE))
    if read is None:
        return None
    lines = read().decode(errors="replace").splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if len(names) < 2 or len(set(names)) < len(names):
        raise DataError(
            f"{CLASS_FILE} must name two or more classes, one a line, each once; got {', '.join(names) or 'none'}"
        )
    return names


def _numbered_classes(masks: np.ndarray) -> tuple[str, ...]:
    known = masks[masks != VOID]
    count = int(known.max()) + 1 if known.size else 0
    return tuple(f"class {number}" for number in range(count))


def _read_split(files: Files, split: str, place: Path) -> tuple[Split, list[PurePosixPath]]:
    """Return a split's images and masks, possibly none, and the masks' paths."""
    images: dict[str, PurePosixPath] = {}
    masks: dict[str, PurePosixPath] = {}
    for path in files:
        if len(path.parts) != 3 or path.parts[0] != split or path.suffix.lower() not in SUFFIXES:
            continue
        if path.parts[1] == "images":
            those = images
        elif path.parts[1] in MASK_FOLDERS:
            those = masks
        else:
            continue
        if path.stem in those:
            raise DataError(
                f"{place / those[path.stem]} and {place / path} have one name, expected one file of each name"
            )
        those[path.stem] = path
    _check_pairs(images, masks, place)
    if not images:
        return Split(np.empty((0, 1, 1, 3), np.uint8), np.empty((0, 1, 1), np.uint8)), []
    pixels: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for name, path in images.items():
        image = _image(files, path, place)
        mask = _mask(files, masks[name], place)
        size = (image.height, image.width)
        if mask.shape != size:
            shown = f"{mask.shape[0]} x {mask.shape[1]}"
            raise DataError(f"{place / masks[name]} has {shown} pixels, expected {size[0]} x {size[1]} as its image")
        if pixels and pixels[0].shape[:2] != size:
            first = pixels[0].shape
            raise DataError(
                f"{place / path} has {size[0]} x {size[1]} pixels, expected {first[0]} x {first[1]} as the images before it"
            )
        pixels.append(np.asarray(image))
        labels.append(mask)
    return Split(np.stack(pixels), np.stack(labels)), [masks[name] for name in images]


def _check_pairs(images: Mapping[str, PurePosixPath], masks: Mapping[str, PurePosixPath], place: Path) -> None:
    for these, those, missing in ((images, masks, "mask"), (masks, images, "image")):
        alone = [path for name, path in these.items() if name not in those]
        if alone:
            more = f", nor have {len(alone) - 1:,} more" if len(alone) > 1 else ""
            raise DataError(f"{place / alone[0]} has no {missing} of the same name{more}")


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file of which something is wrong."""
    try:
        yield
    except UnreadableImageError as error:
        raise DataError(f"{path} can't be read as an image: {error}") from None


def _image(files: Files, path: PurePosixPath, place: Path) -> Image.Image:
    """Return an image upright, in colours of 8 bits, transparent pixels on white."""
    with _named(place / path), opened(files[path]()) as image, pillow_errors():
        return with_channels(ImageOps.exif_transpose(image), 3)


def _mask(files: Files, path: PurePosixPath, place: Path) -> np.ndarray:
    with _named(place / path), opened(files[path]()) as image, pillow_errors():
        image.load()
    if image.mode not in MODES:
        raise DataError(
            f"{place / path} has colours ({image.mode}), expected one channel (grey or a palette) with class numbers"
        )
    mask = np.asarray(image).astype(np.int64)
    if mask.max() > VOID:
        raise DataError(
            f"{place / path} has the number {mask.max()}, expected class numbers from 0 and {VOID} for none"
        )
    return mask.astype(np.uint8)


def _check_classes(
    splits: Mapping[str, Split], masks: Mapping[str, list[PurePosixPath]], names: tuple[str, ...], place: Path
) -> None:
    """Refuse numbers that are no class, and masks without anything to tell apart."""
    present = np.unique(splits["train"].labels)
    present = present[present != VOID]
    if len(present) < 2:
        held = f"class {present[0]} alone" if len(present) else "no class"
        raise DataError(f"the training masks in {place} hold {held}, expected two or more classes; {VOID} means none")
    for split, found in splits.items():
        wrong = (found.labels >= len(names)) & (found.labels != VOID)
        if wrong.any():
            image = int(wrong.any((1, 2)).argmax())
            number = found.labels[image][wrong[image]][0]
            raise DataError(
                f"{place / masks[split][image]} has the number {number}, expected 0 to {len(names) - 1} "
                f"({counted(len(names), 'class', 'classes')}) or {VOID} for none"
            )
