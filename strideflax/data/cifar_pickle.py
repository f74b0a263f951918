"""The Python layout of CIFAR-10 and CIFAR-100: pickles by Python 2, read without running anything that they ask for."""

import io
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from strideflax.data.cifar_layout import PLANES_BYTES, CifarLayout
from strideflax.errors import DataError


def python_batch(data: bytes, path: Path, layout: CifarLayout) -> tuple[np.ndarray, np.ndarray]:
    """Return labels ``[n]`` and planes ``[n, 3072]`` of one file of the Python layout.

    Raises:
        DataError: a damaged pickle, one that asks for anything but NumPy arrays, or one with something else in it.
    """
    try:
        batch = _BatchUnpickler(io.BytesIO(data), encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        raise DataError(f"{path} is damaged or not a {layout.name} batch: {type(error).__name__}: {error}") from None
    if not isinstance(batch, dict):
        batch = {}
    _check_batch_label(batch.get(b"batch_label"), path, layout)
    labels, planes = batch.get(layout.labels_key), batch.get(b"data")
    if not isinstance(labels, list) or not labels or not all(map(_is_byte, labels)):
        raise DataError(f"{path} has no list of labels, expected a {layout.name} batch")
    expected = (len(labels), PLANES_BYTES)
    if not isinstance(planes, _PickledArray) or planes.shape != expected or len(planes.data) != math.prod(expected):
        raise DataError(f"{path}: expected data of uint8 {expected}, got {getattr(planes, 'shape', None)}")
    return np.array(labels, np.uint8), np.frombuffer(planes.data, np.uint8).reshape(expected)


def _is_byte(value: Any) -> bool:
    return type(value) is int and 0 <= value < 256


def _check_batch_label(label: Any, path: Path, layout: CifarLayout) -> None:
    """Refuse an official file under another's name: its ``batch_label`` is like "training batch 1 of 5"."""
    found = re.fullmatch(rb"(training|testing) batch (\d) of \d", label) if isinstance(label, bytes) else None
    if found is None:
        return
    number = int(found[2])
    if found[1] == b"training" and not 1 <= number <= len(layout.train_files):
        return
    stem = layout.test_file if found[1] == b"testing" else layout.train_files[number - 1]
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
