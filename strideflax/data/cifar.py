"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) from any official layout: the same images in the same order, bit for bit.

The canonical order is that of the files, e.g. ``data_batch_1`` to ``data_batch_5``, then ``test_batch``.
"""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from strideflax.data.cache import cached
from strideflax.data.cifar_archive import archive_files
from strideflax.data.cifar_layout import CIFAR10, SIDE, CifarLayout
from strideflax.data.cifar_pickle import python_batch
from strideflax.errors import DataError


class Arrays(NamedTuple):
    """All images: uint8 ``[n, 32, 32, 3]`` and int32 ``[n]``, of the training set and of the test set."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def read_cifar(place: Path, layout: CifarLayout = CIFAR10) -> tuple[Arrays, str]:
    """Read a local copy: a folder with the binary or the Python layout or an archive in it, or one of these itself.

    Returns:
        the images, and one line that says where they came from.

    Raises:
        DataError: nothing there, or a file that is missing, truncated, too large or something else.
    """
    try:
        for suffix, name in layout.folders.items():
            for folder in (place, place / name):
                if _has_files(folder, suffix, layout):
                    return decode(folder_files(folder, suffix, layout), suffix, folder, layout), f"files in {folder}"
        for archive in (place, *(place / name for name in layout.archives)):
            if archive.is_file():
                return Arrays(*cached([archive], partial(read_archive, archive, layout))), f"archive {archive}"
    except OSError as error:
        raise DataError(f"{layout.name} in {place} cannot be read: {error}") from None
    raise DataError(
        f"no {layout.name} in {place}: put {layout.archives[0]} (from {layout.url}) or the folder "
        f"{layout.folders['.bin']} there, or use the embedded data set with --config configs/NAME.py:quick"
    )


def _has_files(folder: Path, suffix: str, layout: CifarLayout) -> bool:
    """Return whether at least one of the files of this layout is there."""
    return any((folder / f"{stem}{suffix}").is_file() for stem in layout.files)


def folder_files(folder: Path, suffix: str, layout: CifarLayout) -> dict[str, bytes]:
    """Return the files' bytes by stem."""
    files = {}
    for stem in layout.files:
        path = folder / f"{stem}{suffix}"
        if not path.is_file():
            first, last = f"{layout.files[0]}{suffix}", f"{layout.files[-1]}{suffix}"
            raise DataError(f"{path} is missing: expected the {layout.count_in_words} files {first} to {last}")
        layout.check_size(path, path.stat().st_size)
        files[stem] = path.read_bytes()
    return files


def read_archive(path: Path, layout: CifarLayout = CIFAR10) -> Arrays:
    """Return the images of an official archive; see `archive_files`."""
    suffix, files = archive_files(path, layout)
    return decode(files, suffix, path / layout.folders[suffix], layout)


def decode(files: Mapping[str, bytes], suffix: str, folder: Path, layout: CifarLayout) -> Arrays:
    """Return the images in the files, given as bytes by stem; ``folder`` is for messages."""
    read_batch = binary_batch if suffix == ".bin" else python_batch
    batches = {}
    for stem in layout.files:
        batches[stem] = read_batch(files[stem], folder / f"{stem}{suffix}", layout)
    _check_batches(files, batches, suffix, folder, layout)
    train_images, train_labels = _join([batches[stem] for stem in layout.train_files])
    test_images, test_labels = _join([batches[layout.test_file]])
    return Arrays(train_images, train_labels, test_images, test_labels)


def binary_batch(data: bytes, path: Path, layout: CifarLayout) -> tuple[np.ndarray, np.ndarray]:
    """Return labels ``[n]`` and planes ``[n, 3072]`` of one file of the binary layout."""
    if not data or len(data) % layout.record_bytes:
        raise DataError(
            f"{path} has {len(data)} bytes, expected a multiple of {layout.record_bytes} "
            f"({10000 * layout.record_bytes} in the official files)"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, layout.record_bytes)
    return records[:, layout.label_bytes - 1], records[:, layout.label_bytes :]


def _check_batches(
    files: Mapping[str, bytes],
    batches: Mapping[str, tuple[np.ndarray, np.ndarray]],
    suffix: str,
    folder: Path,
    layout: CifarLayout,
) -> None:
    """Refuse files that repeat one another, that hold fewer images than most, or labels that there are not."""
    counts = Counter(len(labels) for labels, _ in batches.values())
    usual_count, _ = counts.most_common(1)[0]
    for i, (stem, (labels, _)) in enumerate(batches.items()):
        path = folder / f"{stem}{suffix}"
        for earlier in layout.files[:i]:
            if files[earlier] == files[stem]:
                raise DataError(
                    f"{path} is the same file as {earlier}{suffix}, expected {layout.count_in_words} different ones"
                )
        if len(labels) != usual_count and len(layout.train_files) > 1:
            raise DataError(f"{path} holds {len(labels)} images, expected {usual_count} as in the other files")
        if labels.max() >= len(layout.classes):
            raise DataError(
                f"{path} has label {labels.max()}, expected 0 to {len(layout.classes) - 1}: not {layout.name}"
            )


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
