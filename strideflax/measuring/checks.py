"""What every measure asks of its arrays, so that a mistake is an error in one line and not a wrong number."""

from typing import Any

import numpy as np

from strideflax.operators.geometry import is_int


def check_images(images: np.ndarray, labels: np.ndarray | None = None) -> None:
    """Raise ValueError unless ``images`` is a batch of one image or more, with one whole number each in ``labels``."""
    if not hasattr(images, "dtype") or images.dtype == object:
        got = f"a {type(images).__name__}" if not hasattr(images, "dtype") else "an array of objects"
        raise ValueError(f"images must be an array [n, height, width, channels] of numbers, got {got}")
    shape = np.shape(images)
    if len(shape) != 4 or 0 in shape:
        raise ValueError(f"images must have the shape [n, height, width, channels], none of them 0, got {list(shape)}")
    if labels is not None:
        check_labels(labels, shape[0])


def check_function(function: Any) -> None:
    """Raise TypeError unless ``function`` can be called with images: a class can't."""
    if isinstance(function, type) or not callable(function):
        got = f"the class {function.__name__}" if isinstance(function, type) else repr(function)
        raise TypeError(f"what is measured must be a function of images or a flax.nnx.Module, got {got}")


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Raise ValueError unless ``value``, called ``name``, is a whole number of at least ``least``."""
    if not is_int(value) or value < least:
        raise ValueError(f"{name} must be an int >= {least}, got {value!r}")


def check_result(result: Any, count: int) -> None:
    """Raise ValueError unless ``result``, of a function of ``count`` images, is an array with a row for each."""
    shape = getattr(result, "shape", None)
    if shape is None or shape[:1] != (count,):
        got = f"a {type(result).__name__}" if shape is None else f"shape {list(shape)}"
        raise ValueError(f"what is measured must return one array [n, ...] of n images, got {got} of {count}")


def check_labels(labels: np.ndarray, count: int) -> None:
    """Raise ValueError unless ``labels`` holds ``count`` classes, whole numbers from 0."""
    labels = np.asarray(labels)
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be ints of shape [{count}], got {labels.dtype} {list(labels.shape)}")
    if labels.min() < 0:
        raise ValueError(f"labels must be classes from 0, got {labels.min()}")


def check_logits(logits: np.ndarray, labels: np.ndarray) -> None:
    """Raise ValueError unless ``logits [n, classes]`` are numbers and ``labels [n]`` are among their classes."""
    shape = check_is_logits(logits)
    check_labels(labels, shape[0])
    if np.max(labels) >= shape[1]:
        raise ValueError(f"labels must be under the {shape[1]} classes of the logits, got {np.max(labels)}")
    check_finite(np.isfinite(np.max(logits, -1)))


def check_is_logits(logits: np.ndarray) -> tuple[int, ...]:
    """Return the shape of ``logits``; ValueError unless it is ``[n, classes]``, as what segments has not."""
    shape = np.shape(logits)
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"logits must have the shape [n, classes], neither of them 0, got {list(shape)}")
    return shape


def classes_of(logits: np.ndarray) -> np.ndarray:
    """Return the classes of ``logits [n, classes]``; ValueError unless they are numbers of that shape."""
    check_is_logits(logits)
    check_finite(np.isfinite(np.max(logits, -1)))
    return np.argmax(logits, -1)


def check_finite(finite: np.ndarray) -> None:
    """Raise ValueError unless the largest logits of all images are finite."""
    if not finite.all():
        raise ValueError("logits must be finite, or -inf for some of the classes; got NaN or infinity")
