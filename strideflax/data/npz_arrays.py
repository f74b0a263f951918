"""A user's images as arrays in one ``.npz`` file."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from strideflax.config import DataConfig
from strideflax.data.encoded_images import ImageProgress
from strideflax.data.image_decoding import perceptual_hash
from strideflax.data.own_images import OwnImages
from strideflax.data.resize import resized
from strideflax.errors import DataError, one_line
from strideflax.files import user_path
from strideflax.wording import counted

# Where each split's images and labels are, by this project's names, as MedMNIST has them, or by Keras's; "" is not split yet.
KEYS = {
    "train": (("train_images", "train_labels"), ("x_train", "y_train")),
    "val": (("val_images", "val_labels"), ("x_val", "y_val")),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
    "": (("images", "labels"),),
}
CLASSES = "classes"
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # of an archive, and of an empty one
NPY_START = b"\x93NUMPY"
REPORTED = 1000  # images between two reports


def read_npz(config: DataConfig, progress: ImageProgress) -> OwnImages:
    """Read the images in the file ``config.name``.

    It holds ``train_images`` and ``train_labels``, and perhaps the same of ``val`` and ``test``; or ``images`` and ``labels``,
    which are then split. Keras's ``x_train``, ``y_train`` and so on will do. Images are uint8 ``[n, height, width]`` or
    ``[n, height, width, channels]``, with 1 or 3 channels; labels are whole numbers from 0, ``[n]`` or ``[n, 1]``. ``classes``
    may hold the classes' names; without it they are the numbers. Images keep their size unless ``config.size`` says another.

    Raises:
        DataError: no such file, none of ``.npz``, or arrays of another kind; one line.
    """
    path = user_path(config.name)
    try:
        arrays = _arrays(path)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"there is no file {path}; --config.data.name must name an .npz file of arrays") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} can't be read as an .npz file of plain arrays: {one_line(error)}") from None
    images, labels, splits = _joined(arrays, path)
    classes = _class_names(arrays, labels, path)
    if config.size is not None:
        images = resized(images, (config.size, config.size, images.shape[-1]))
    hashes = np.zeros(len(images), np.uint64)
    for i, image in enumerate(images):
        hashes[i] = perceptual_hash(image)
        if (i + 1) % REPORTED == 0 or i + 1 == len(images):
            progress("looking at images", i + 1, len(images))
    return OwnImages(
        name=f"{path.stem} (npz)",
        place=f"file {path.absolute()}",
        classes=classes,
        images=images,
        labels=labels,
        splits=splits,
        hashes=hashes,
    )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as stream:
        start = stream.read(len(NPY_START))
        if not start.startswith(ZIP_STARTS):
            held = "; it holds a single array, as .npy files do" if start == NPY_START else ""
            raise DataError(f"{path} is not an .npz file{held}")
        stream.seek(0)
        file = np.load(stream, allow_pickle=False)
        arrays = {}
        for name in file.files:
            try:
                arrays[name] = file[name]
            except ValueError as error:
                if "allow_pickle" not in str(error):
                    raise
                raise DataError(f"{name} in {path} holds Python objects; expected plain arrays") from None
            if not isinstance(arrays[name], np.ndarray):
                del arrays[name]  # another file in the archive, which NumPy gives as bytes
    return arrays


def _joined(arrays: dict[str, np.ndarray], path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the images, the labels and the split of each image of all the splits in the file."""
    images, labels, splits = [], [], []
    count = sum(np.size(arrays.get(name, ())) for pairs in KEYS.values() for _, name in pairs)
    limit = max(count, np.size(arrays.get(CLASSES, ())))  # more classes have no images
    for split, names in KEYS.items():
        for image_name, label_name in names:
            if image_name in arrays:
                images.append(_checked_images(arrays[image_name], f"{image_name} in {path}"))
                shown = f"{label_name} in {path}"
                labels.append(_checked_labels(arrays.get(label_name), len(images[-1]), limit, shown))
                splits += [split] * len(images[-1])
    if not {"", "train"} & set(splits):
        raise DataError(
            f"{path} holds {', '.join(arrays) or 'nothing'}; expected train_images and train_labels (and the same of val and "
            "test), or images and labels"
        )
    if "" in splits and len(images) > 1:
        raise DataError(
            f"{path} holds images beside train_images, val_images or test_images, expected one or the other"
        )
    shapes = {array.shape[1:] for array in images}
    if len(shapes) > 1:
        raise DataError(
            f"{path} holds splits with images of {' and '.join(map(str, sorted(shapes)))}, expected one shape"
        )
    return np.concatenate(images), np.concatenate(labels), np.array(splits)


def _checked_images(images: np.ndarray, shown: str) -> np.ndarray:
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise DataError(
            f"{shown} must be uint8 [n, height, width], [n, height, width, 1] or [n, height, width, 3], got {images.dtype} "
            f"{list(images.shape)}"
        )
    return images


def _checked_labels(labels: np.ndarray | None, count: int, limit: int, shown: str) -> np.ndarray:
    if labels is None:
        raise DataError(f"{shown} is missing, expected the {counted(count, 'label')} of the images beside it")
    if labels.shape not in ((count,), (count, 1)) or labels.dtype.kind not in "iu" or labels.min() < 0:
        is_negative = labels.dtype.kind == "i" and labels.size and labels.min() < 0
        least = f", the least is {labels.min()}" if is_negative else ""
        raise DataError(
            f"{shown} must be {counted(count, 'whole number')} from 0, got {labels.dtype} {list(labels.shape)}{least}"
        )
    if labels.max() >= limit:
        raise DataError(f"{shown} holds the label {labels.max()}, expected 0 to {limit - 1}, each class with an image")
    return labels.reshape(-1).astype(np.int64)


def _class_names(arrays: dict[str, np.ndarray], labels: np.ndarray, path: Path) -> tuple[str, ...]:
    if CLASSES not in arrays:
        return tuple(str(label) for label in range(labels.max() + 1))
    names = arrays[CLASSES]
    if names.dtype.kind != "U" or names.ndim != 1 or len(names) <= labels.max():
        raise DataError(
            f"{CLASSES} in {path} must be {counted(int(labels.max()) + 1, 'name')} or more, one for each label, got "
            f"{names.dtype} {list(names.shape)}"
        )
    listed = tuple(names.tolist())
    if len(set(listed)) < len(listed):
        twice = next(name for name in listed if listed.count(name) > 1)
        raise DataError(f"{CLASSES} in {path} holds {twice!r} more than once, expected a different name for each class")
    return listed
