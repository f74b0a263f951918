"""CIFAR-10 (Krizhevsky 2009) from any of its official layouts: the same images in the same order, bit for bit.

The canonical order is that of the files: ``data_batch_1`` to ``data_batch_5``, then ``test_batch``.
"""

import gzip
import io
import math
import pickle
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from strideflax.data.cache import cached
from strideflax.data.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
FILES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
FOLDERS = {".bin": "cifar-10-batches-bin", "": "cifar-10-batches-py"}  # by the suffix of the files inside
ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")
SIDE = 32
RECORD_BYTES = 1 + 3 * SIDE * SIDE  # label, then the red, green and blue planes
FILE_LIMIT_BYTES = 64 * 2**20  # twice an official file
ARCHIVE_LIMIT_BYTES = 256 * 2**20  # unpacked; the official archives hold 184 MB


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
                if any((folder / f"{stem}{suffix}").is_file() for stem in FILES):
                    return decode(folder_files(folder, suffix), suffix, folder), f"files in {folder}"
        for archive in (place, *(place / name for name in ARCHIVES)):
            if archive.is_file():
                return Arrays(*cached([archive], partial(read_archive, archive))), f"archive {archive}"
    except OSError as error:
        raise DataError(f"CIFAR-10 in {place} cannot be read: {error}") from None
    raise DataError(
        f"no CIFAR-10 in {place}: put {ARCHIVES[0]} (from {URL}) or the folder {FOLDERS['.bin']} there, "
        "or use the embedded data set with --config configs/NAME.py:quick"
    )


def folder_files(folder: Path, suffix: str) -> dict[str, bytes]:
    """Return the six files' bytes by stem."""
    files = {}
    for stem in FILES:
        path = folder / f"{stem}{suffix}"
        if not path.is_file():
            raise DataError(f"{path} is missing: expected the six files {FILES[0]}{suffix} to {FILES[-1]}{suffix}")
        _check_size(path, path.stat().st_size)
        files[stem] = path.read_bytes()
    return files


def read_archive(path: Path) -> Arrays:
    """Read ``cifar-10-binary.tar.gz`` or ``cifar-10-python.tar.gz`` without writing anything to disk.

    Only regular members with the official names are looked at, and never more than `ARCHIVE_LIMIT_BYTES` are unpacked.
    """
    wanted = {f"{folder}/{stem}{suffix}": (suffix, stem) for suffix, folder in FOLDERS.items() for stem in FILES}
    found: dict[str, dict[str, bytes]] = {suffix: {} for suffix in FOLDERS}
    try:
        with gzip.open(path) as unpacked:
            stream: Any = _LimitedStream(unpacked, path)
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    name = str(PurePosixPath(member.name))
                    if name not in wanted or not member.isreg():
                        continue
                    suffix, stem = wanted[name]
                    if stem in found[suffix]:
                        raise DataError(f"{path} holds {name} twice, expected once")
                    _check_size(path / name, member.size)
                    found[suffix][stem] = archive.extractfile(member).read()  # type: ignore[union-attr]
            while stream.read(2**20):  # to the end, where gzip's own checksum is
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or no .tar.gz: {error or type(error).__name__}") from None
    suffix, files = max(found.items(), key=lambda entry: len(entry[1]))
    if missing := [stem for stem in FILES if stem not in files]:
        raise DataError(f"{path} lacks {FOLDERS[suffix]}/{missing[0]}{suffix}: expected all six files of CIFAR-10")
    return decode(files, suffix, path / FOLDERS[suffix])


def decode(files: Mapping[str, bytes], suffix: str, folder: Path) -> Arrays:
    """Return the images in the six files, given as bytes by stem; ``folder`` is for messages."""
    layout: Callable[[bytes, Path], tuple[np.ndarray, np.ndarray]] = binary_batch if suffix else python_batch
    batches = {stem: layout(files[stem], folder / f"{stem}{suffix}") for stem in FILES}
    count = Counter(len(labels) for labels, _ in batches.values()).most_common(1)[0][0]
    for place, (stem, (labels, _)) in enumerate(batches.items()):
        path = folder / f"{stem}{suffix}"
        if twin := next((other for other in FILES[:place] if files[other] == files[stem]), None):
            raise DataError(f"{path} is the same file as {twin}{suffix}, expected six different ones")
        if len(labels) != count:
            raise DataError(f"{path} holds {len(labels)} images, expected {count} as in the other files")
        if labels.max() >= len(CLASSES):
            raise DataError(f"{path} has label {labels.max()}, expected 0 to {len(CLASSES) - 1}: not CIFAR-10")

    def join(stems: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        images = np.empty((count * len(stems), SIDE, SIDE, 3), np.uint8)
        for i, stem in enumerate(stems):
            planes = batches[stem][1].reshape(count, 3, SIDE, SIDE)
            for channel in range(3):  # twice as fast as one transposition
                images[i * count : (i + 1) * count, ..., channel] = planes[:, channel]
        return images, np.concatenate([batches[stem][0] for stem in stems]).astype(np.int32)

    return Arrays(*join(FILES[:-1]), *join(FILES[-1:]))


def binary_batch(data: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return labels ``[n]`` and planes ``[n, 3072]`` of one file of the binary layout."""
    if not data or len(data) % RECORD_BYTES:
        raise DataError(
            f"{path} has {len(data)} bytes, expected a multiple of {RECORD_BYTES} "
            f"({10000 * RECORD_BYTES} in the official files)"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD_BYTES)
    return records[:, 0], records[:, 1:]


def python_batch(data: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return labels ``[n]`` and planes ``[n, 3072]`` of one file of the Python layout, a pickle by Python 2."""
    try:
        batch = _BatchUnpickler(io.BytesIO(data), encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        raise DataError(f"{path} is damaged or no CIFAR-10 batch: {type(error).__name__}: {error}") from None
    _check_place(batch, path)
    labels = batch.get(b"labels") if isinstance(batch, dict) else None
    planes = batch.get(b"data") if isinstance(batch, dict) else None
    if not isinstance(labels, list) or not labels or not all(type(v) is int and 0 <= v < 256 for v in labels):
        raise DataError(f"{path} has no list of labels, expected a CIFAR-10 batch")
    expected = (len(labels), RECORD_BYTES - 1)
    if not isinstance(planes, _PickledArray) or (planes.shape, len(planes.data)) != (expected, math.prod(expected)):
        raise DataError(f"{path}: expected data of uint8 {expected}, got {getattr(planes, 'shape', None)}")
    return np.array(labels, np.uint8), np.frombuffer(planes.data, np.uint8).reshape(expected)


def _check_place(batch: Any, path: Path) -> None:
    """Refuse an official file under another's name: its ``batch_label`` is like "training batch 1 of 5"."""
    label = batch.get(b"batch_label") if isinstance(batch, dict) else None
    found = re.fullmatch(rb"(training|testing) batch (\d) of \d", label) if isinstance(label, bytes) else None
    if found:
        stem = "test_batch" if found[1] == b"testing" else f"data_batch_{found[2].decode()}"
        if stem != path.name:
            raise DataError(f"{path} holds the images of {stem}: the files are swapped")


class _PickledType:
    """Stands for numpy.dtype: its name alone, kept as bytes."""

    def __init__(self, name: bytes, *_: int):
        self.name = name

    def __setstate__(self, state: Any) -> None:
        """Accept the byte order and alignment, which mean nothing for single bytes."""


class _PickledArray:
    """Stands for numpy.ndarray: no NumPy code runs on what a file says."""

    shape: Any = None
    data = b""

    def __setstate__(self, state: tuple[int, tuple[int, ...], _PickledType, bool, bytes]) -> None:
        _, shape, kind, column_major, data = state
        if kind.name != b"u1" or column_major or type(data) is not bytes:
            raise DataError("expected a row-major array of uint8")
        self.shape, self.data = shape, data


def _reconstruct(cls: type, shape: object, kind: object) -> _PickledArray:
    return _PickledArray()


class _BatchUnpickler(pickle.Unpickler):
    """Knows the three names that an official file needs, each by a stand-in from this module; refuses all others."""

    known = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): _PickledArray,
        ("numpy", "dtype"): _PickledType,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.known:
            raise DataError(f"the pickle asks for {module}.{name}, expected NumPy arrays alone: refused")
        return self.known[module, name]


class _LimitedStream:
    """Reads an unpacking stream up to `ARCHIVE_LIMIT_BYTES`, so that a small file cannot fill the memory."""

    def __init__(self, stream: gzip.GzipFile, path: Path):
        self.stream, self.path, self.count = stream, path, 0

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.count += len(data)
        if self.count > ARCHIVE_LIMIT_BYTES:
            raise DataError(f"{self.path} unpacks to more than {ARCHIVE_LIMIT_BYTES} bytes: not CIFAR-10")
        return data


def _check_size(path: Path, size_bytes: int) -> None:
    if size_bytes > FILE_LIMIT_BYTES:
        raise DataError(f"{path} has {size_bytes} bytes, expected at most {FILE_LIMIT_BYTES}: not CIFAR-10")
