"""Shifts: how often a net gives an image the same class wherever it stands, exactly, over all small shifts."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.tree_util import Partial

from strideflax.measuring.batches import BATCH_SIZE, ImageFunction, Progress, as_pytree, no_progress, pad_batch
from strideflax.measuring.checks import check_count, check_finite, check_images, check_labels
from strideflax.measuring.subject import Subject
from strideflax.operators.geometry import is_int
from strideflax.programs import Program

# A padded batch, a window's first row and column, and its size -> the window's classes [batch, ...], -1 where logits are NaN.
WindowFunction: TypeAlias = Callable[[Array, int, int, tuple[int, int]], Array]

# Border -> np.pad mode that fills the pixels which move in; crop moves a window inside the image and invents none.
BORDERS: dict[str, str | None] = {"circular": "wrap", "reflect": "reflect", "zero": "constant", "crop": None}
IMAGES = 1000
MAX_SHIFT = 4
LIMITS = {2: "half the image", 4: "a quarter of the image"}


def shift_consistency(
    predict: ImageFunction,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    border: str = "circular",
    max_shift: int = MAX_SHIFT,
    batch_size: int = BATCH_SIZE,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Return how often a net gives an image the same class wherever it stands, over all shifts by up to ``max_shift``.

    The consistency is the share of pairs of different shifts, of all (2 m + 1)^2, that get the same class: the exact
    value of what Zhang 2019 (arXiv:1904.11486) estimates from random pairs.

    Args:
        predict: images ``[batch, height, width, channels]`` -> logits ``[batch, classes]``, a traceable JAX function.
        images: ``[n, height, width, channels]`` of the type that ``predict`` takes.
        labels: the true classes, int ``[n]``; None leaves out what depends on them.
        border: see `shifted_classes`.
        max_shift: pixels.
        batch_size: images at once.
        progress: told the number of forward passes done (images times shifts).

    Returns:
        As `consistency_of_classes`; all values are shares from 0 to 1.

    Raises:
        ValueError: no images, labels that do not fit them, an unknown border, shifts as large as the image, or logits that
            are NaN or infinite.
    """
    check_images(images, labels)
    classes = shifted_classes(
        predict, images, border=border, max_shift=max_shift, batch_size=batch_size, progress=progress
    )
    return consistency_of_classes(classes, labels)


@partial(Program, static_argnums=4)
def classes_of_window(predict: Partial, padded: Array, row: Array, column: Array, size: tuple[int, int]) -> Array:
    """Return the classes of the window of ``size`` whose first pixel is ``(row, column)``, int32; -1 of no number."""
    batch, _, _, channels = padded.shape
    logits = predict(lax.dynamic_slice(padded, (0, row, column, 0), (batch, *size, channels)))
    return jnp.where(jnp.isfinite(logits.max(-1)), logits.argmax(-1), -1).astype(jnp.int32)


def shifted_classes(
    predict: ImageFunction,
    images: np.ndarray,
    *,
    border: str,
    max_shift: int = MAX_SHIFT,
    batch_size: int = BATCH_SIZE,
    progress: Progress = no_progress,
) -> np.ndarray:
    """Return the predicted class at every shift, int ``[n, 2 m + 1, 2 m + 1]``; no shift is in the middle.

    Args:
        predict: images ``[batch, height, width, channels]`` -> logits ``[batch, classes]``, a traceable JAX function.
        images: ``[n, height, width, channels]`` of the type that ``predict`` takes.
        border: what moves in: "circular" (the other side), "reflect" (the mirrored image, edge pixel not repeated),
            "zero" (black), or "crop": the net sees a window of ``(height - 2 m, width - 2 m)`` moving inside the image.
        max_shift: m, pixels.
        batch_size: images at once.
        progress: told the number of forward passes done (images times shifts).

    Raises:
        ValueError: no images, an unknown border, shifts as large as the image, or logits that are NaN or infinite.
    """
    classes = at_every_shift(
        partial(classes_of_window, as_pytree(predict)),
        images,
        border=border,
        max_shift=max_shift,
        part=2,
        batch_size=batch_size,
        progress=progress,
    )
    if classes.ndim != 3:
        raise ValueError(
            f"predict must return logits [batch, classes], got a class at each of {list(classes.shape[3:])} places; of masks "
            "there is strideflax.measuring.mask_shifts"
        )
    return classes


def at_every_shift(
    of_window: WindowFunction,
    images: np.ndarray,
    *,
    border: str,
    max_shift: int,
    part: int,
    batch_size: int,
    progress: Progress,
) -> np.ndarray:
    """Return the classes ``of_window`` at every shift, int32 ``[n, 2 m + 1, 2 m + 1, ...]``; no shift is in the middle.

    Args:
        of_window: the net.
        part: shifts must be under this part of the image: 2 is half of it. The others are those of `shifted_classes`.

    Raises:
        ValueError: no images, an unknown border, too large shifts, or a class of -1: logits that are NaN or infinite.
    """
    check_images(images)
    check_count("batch_size", batch_size)
    height, width = images.shape[1:3]
    if border not in BORDERS:
        raise ValueError(f"border must be one of {', '.join(BORDERS)}, got {border!r}")
    if not is_int(max_shift) or not 1 <= max_shift < min(height, width) / part:
        whole = "" if is_int(max_shift) else ", in whole pixels"
        raise ValueError(
            f"max_shift must be 1 or more and under {LIMITS[part]} {(height, width)}{whole}, got {max_shift}"
        )
    mode, reach = BORDERS[border], 2 * max_shift
    size = (height, width) if mode else (height - reach, width - reach)
    positions = reach + 1  # along each axis
    batch_size = min(batch_size, len(images))
    batches = []
    for start in range(0, len(images), batch_size):
        count = min(batch_size, len(images) - start)
        padded = pad_batch(images[start : start + count], batch_size)
        if mode:
            margin = (max_shift, max_shift)
            padded = np.pad(padded, ((0, 0), margin, margin, (0, 0)), mode=mode)  # type: ignore[call-overload]
        padded = jax.device_put(padded)
        rows = []
        for row in range(positions):
            # A window that starts earlier shows the content later: the shift is max_shift - start.
            found = [of_window(padded, reach - row, reach - column, size) for column in range(positions)]
            rows.append(np.stack(jax.device_get(found), axis=1)[:count])  # once all of a row are on their way
            check_finite(rows[-1] >= 0)
            progress(start * positions**2 + (row + 1) * positions * count, len(images) * positions**2)
        batches.append(np.stack(rows, axis=1))
    return np.concatenate(batches)


def by_border(progress: Progress) -> Iterator[tuple[str, Progress]]:
    """Yield every border, with what is told of the work on it when ``progress`` is told of all work."""
    for i, border in enumerate(BORDERS):

        def border_progress(done: int, total: int, borders_done: int = i) -> None:
            progress(borders_done * total + done, len(BORDERS) * total)

        yield border, border_progress


def agreement_of_pairs(classes: np.ndarray) -> np.ndarray:
    """Return per image the share of pairs of different shifts that get the same class, float64 ``[n]``.

    ``C = sum_c n_c (n_c - 1) / (N (N - 1))`` with ``n_c`` votes for class c of ``N`` shifts.

    Args:
        classes: int ``[n, ...]``, one class per shift.
    """
    votes = classes.reshape(len(classes), -1)
    counts = (votes[:, :, None] == np.arange(votes.max() + 1)).sum(1)
    return (counts * (counts - 1)).sum(1) / (votes.shape[1] * (votes.shape[1] - 1))


def consistency_of_classes(classes: np.ndarray, labels: np.ndarray | None = None) -> dict[str, Any]:
    """Return the consistency for each m up to the largest, and the map of agreement with the unshifted prediction.

    Args:
        classes: from `shifted_classes`.
        labels: the true classes, int ``[n]``; None leaves out what depends on them.

    Returns:
        By m as a string ``consistency``, and with labels ``consistency_given_correct`` (over images whose unshifted
        prediction is right, None without any) and ``worst_case_accuracy``, see `worst_case_accuracy`. Besides these
        ``unshifted_accuracy``, and ``agreement_map``, ``[2 m + 1][2 m + 1]`` shares, rows down, no shift in the middle.
    """
    if labels is not None:
        check_labels(labels, len(classes))
    middle = classes.shape[1] // 2
    unshifted = classes[:, middle, middle]
    consistency, given_correct = {}, {}
    for m in range(1, middle + 1):
        inner = slice(middle - m, middle + m + 1)
        agreement = agreement_of_pairs(classes[:, inner, inner])
        consistency[str(m)] = float(agreement.mean())
        if labels is not None:
            correct = unshifted == labels
            given_correct[str(m)] = float(agreement[correct].mean()) if correct.any() else None
    result: dict[str, Any] = {"consistency": consistency}
    if labels is not None:
        result["consistency_given_correct"] = given_correct
        result["worst_case_accuracy"] = worst_case_accuracy(classes, labels)
        result["unshifted_accuracy"] = float((unshifted == labels).mean())
    return result | {"agreement_map": (classes == unshifted[:, None, None]).mean(0).tolist()}


def worst_case_accuracy(classes: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the share of images that get their true class at every shift by up to m pixels, for each m.

    It is the accuracy against someone who may choose the shift: Engstrom et al. 2019 (arXiv:1712.02779).

    Args:
        classes: from `shifted_classes`.
        labels: the true classes, int ``[n]``.

    Returns:
        Shares from 0 to 1 by m as a string, from "0" (no shift: plain accuracy) to the largest.
    """
    check_labels(labels, len(classes))
    right = classes == np.asarray(labels)[:, None, None]
    middle = classes.shape[1] // 2
    accuracy = {}
    for m in range(middle + 1):
        inner = slice(middle - m, middle + m + 1)
        accuracy[str(m)] = float(right[:, inner, inner].all((1, 2)).mean())
    return accuracy


def usual_shift(images: np.ndarray, part: int) -> int:
    """Return `MAX_SHIFT`, or the largest shift that is under a ``part`` of small ``images [n, height, width, channels]``."""
    return min(MAX_SHIFT, (min(images.shape[1:3]) - 1) // part)


def measure(subject: Subject, progress: Progress) -> dict[str, Any]:
    """Measure a run on its first test images with all four borders."""
    images, labels = subject.test(IMAGES)
    max_shift = usual_shift(images, 2)
    result: dict[str, Any] = {
        "protocol": f"exact shift consistency: all (2m+1)^2 shifts, m = 1..{max_shift}, share of agreeing pairs, first "
        f"{len(images)} test images; worst case: right at all of them; crop moves a window {2 * max_shift} pixels smaller, "
        "for every m",
        "images": len(images),
    }
    for border, border_progress in by_border(progress):
        result[border] = shift_consistency(
            subject.predict, images, labels, border=border, max_shift=max_shift, progress=border_progress
        )
    return result
