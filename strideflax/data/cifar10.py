"""CIFAR-10 (Krizhevsky 2009) from any of its official layouts: the same images in the same order, bit for bit.

The canonical order is that of the files: ``data_batch_1`` to ``data_batch_5``, then ``test_batch``.
"""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from strideflax.data.cache import cached
from strideflax.data.cifar10_archive import archive_files
from strideflax.data.cifar10_layout import (
    ARCHIVES,
    CLASSES,
    FILES,
    FOLDERS,
    RECORD_BYTES,
    SIDE,
    TEST_FILE,
    TRAIN_FILES,
    URL,
    check_size,
)
from strideflax.data.cifar10_pickle import python_batch
from strideflax.errors import DataError


class Arrays(NamedTuple):
    """All images: uint8 ``[n, 32, 32, 3]`` and int32 ``[n]``, of the training set and of the test set."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def read_cifar10(place: Path) -> tuple[Arrays, str]:
    """Read a local copy: a folder with the binary or the Python layout or an archive in it, or one of these itself.

    Returns:
        the images, and one line that says where they came from.

    Raises:
        DataError: nothing there, or a file that is missing, truncated, too large or something else.
    """
    try:
        for suffix, name in FOLDERS.items():
            for folder in (place, place / name):
                if _has_files(folder, suffix):
                    return decode(folder_files(folder, suffix), suffix, folder), f"files in {folder}"
        for archive in (place, place / ARCHIVES[0], place / ARCHIVES[1]):
            if archive.is_file():
                return Arrays(*cached([archive], partial(read_archive, archive))), f"archive {archive}"
    except OSError as error:
        raise DataError(f"CIFAR-10 in {place} cannot be read: {error}") from None
    raise DataError(
        f"no CIFAR-10 in {place}: put {ARCHIVES[0]} (from {URL}) or the folder {FOLDERS['.bin']} there, "
        "or use the embedded data set with --config configs/NAME.py:quick"
    )


def _has_files(folder: Path, suffix: str) -> bool:
    """Return whether at least one of the six files of this layout is there."""
    return any((folder / f"{stem}{suffix}").is_file() for stem in FILES)


def folder_files(folder: Path, suffix: str) -> dict[str, bytes]:
    """Return the six files' bytes by stem."""
    files = {}
    for stem in FILES:
        path = folder / f"{stem}{suffix}"
        if not path.is_file():
            raise DataError(f"{path} is missing: expected the six files {FILES[0]}{suffix} to {FILES[-1]}{suffix}")
        check_size(path, path.stat().st_size)
        files[stem] = path.read_bytes()
    return files


def read_archive(path: Path) -> Arrays:
    """Return the images of an official archive; see `archive_files`."""
    suffix, files = archive_files(path)
    return decode(files, suffix, path / FOLDERS[suffix])


def decode(files: Mapping[str, bytes], suffix: str, folder: Path) -> Arrays:
    """Return the images in the six files, given as bytes by stem; ``folder`` is for messages."""
    read_batch = binary_batch if suffix == ".bin" else python_batch
    batches = {}
    for stem in FILES:
        batches[stem] = read_batch(files[stem], folder / f"{stem}{suffix}")
    _check_batches(files, batches, suffix, folder)
    train_images, train_labels = _join([batches[stem] for stem in TRAIN_FILES])
    test_images, test_labels = _join([batches[TEST_FILE]])
    return Arrays(train_images, train_labels, test_images, test_labels)


def binary_batch(data: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return labels ``[n]`` and planes ``[n, 3072]`` of one file of the binary layout."""
    if not data or len(data) % RECORD_BYTES:
        raise DataError(
            f"{path} has {len(data)} bytes, expected a multiple of {RECORD_BYTES} "
            f"({10000 * RECORD_BYTES} in the official files)"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD_BYTES)
    return records[:, 0], records[:, 1:]


def _check_batches(
    files: Mapping[str, bytes], batches: Mapping[str, tuple[np.ndarray, np.ndarray]], suffix: str, folder: Path
) -> None:
    """Refuse files that repeat one another, that hold fewer images than most, or labels that CIFAR-10 does not have."""
    counts = Counter(len(labels) for labels, _ in batches.values())
    usual_count, _ = counts.most_common(1)[0]
    for i, (stem, (labels, _)) in enumerate(batches.items()):
        path = folder / f"{stem}{suffix}"
        for earlier in FILES[:i]:
            if files[earlier] == files[stem]:
                raise DataError(f"{path} is the same file as {earlier}{suffix}, expected six different ones")
        if len(labels) != usual_count:
            raise DataError(f"{path} holds {len(labels)} images, expected {usual_count} as in the other files")
        if labels.max() >= len(CLASSES):
            raise DataError(f"{path} has label {labels.max()}, expected 0 to {len(CLASSES) - 1}: not CIFAR-10")


def _join(batches: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the images uint8 ``[n, 32, 32, 3]`` and labels int32 ``[n]`` of batches of labels and planes."""
    labels = np.concatenate([labels for labels, _ in batches]).astype(np.int32)
    images = np.empty((len(labels), SIDE, SIDE, 3), np.uint8)
    start = 0
    for batch_labels, planes in batches:
        stop = start + len(batch_labels)
        planes = planes.reshape(-1, 3, SIDE, SIDE)
        for channel in range(3):  # twice as fast as one transposition
            images[start:stop, ..., channel] = planes[:, channel]
        start = stop
    return images, labels
