"""Fractional shifts: how often a net gives an image the same class when it is moved by a part of a pixel."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from strideflax.measuring.batches import BATCH_SIZE, ImageFunction, Progress, in_batches, no_progress
from strideflax.measuring.checks import check_images, classes_of
from strideflax.measuring.resampling import fourier_shift
from strideflax.measuring.subject import Subject
from strideflax.operators.geometry import is_int

IMAGES = 1000
PARTS = (2, 3, 4)  # of a pixel: 1/2, 1/3, 1/4
DIRECTIONS = ((1, 0), (0, 1), (1, 1))  # down, right, both


def shift_by_fraction(images: np.ndarray, down: float, right: float) -> np.ndarray:
    """Move ``images`` circularly by parts of a pixel, through the Fourier transform, in float64.

    Args:
        images: uint8 or float ``[n, height, width, channels]``.
        down, right: pixels.

    Returns:
        Images of the same shape and type. Those of uint8 are rounded and clipped to 0..255.

    Raises:
        ValueError: images of another shape or type.
    """
    check_images(images)
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"images must be uint8 or float, got {images.dtype}")
    moved = fourier_shift(fourier_shift(images.astype(np.float64), down, axis=1), right, axis=2)
    if images.dtype == np.uint8:
        moved = np.clip(np.rint(moved), 0, 255)
    return moved.astype(images.dtype)


def fractional_shift_consistency(
    predict: ImageFunction,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    parts: tuple[int, ...] = PARTS,
    batch_size: int = BATCH_SIZE,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Return how often a net gives an image the same class when it is moved by a part of a pixel.

    For each part k, images are moved circularly by 1 / k pixel down, right, and both, with `shift_by_fraction`. The
    consistency is the share of these three whose class is that of the unshifted image. Source: Michaeli et al. 2023
    (arXiv:2303.08085).

    Args:
        predict: images ``[batch, height, width, channels]`` -> logits ``[batch, classes]``, a traceable JAX function.
        images: uint8 or float ``[n, height, width, channels]``, whichever ``predict`` takes.
        labels: the true classes, int ``[n]``; None leaves out what depends on them.
        parts: the k.
        batch_size: images at once.
        progress: told the number of shifts done.

    Returns:
        ``consistency`` by part, as "1/2"; with labels ``consistency_given_correct`` (over images whose unshifted prediction
        is right, None without any) and ``unshifted_accuracy``. All are shares from 0 to 1.

    Raises:
        ValueError: images or labels of another shape or type, a part under 2, or logits that are NaN or infinite.
    """
    check_images(images, labels)
    if not isinstance(parts, Sequence) or not parts or not all(is_int(part) and part >= 2 for part in parts):
        raise ValueError(f"parts must be ints >= 2, got {parts!r}")
    unshifted = classes_of(in_batches(predict, images, batch_size=batch_size))
    consistency, given_correct = {}, {}
    for i, part in enumerate(parts):
        agreement = np.zeros(len(images))
        for j, (down, right) in enumerate(DIRECTIONS, start=1):
            moved = shift_by_fraction(images, down / part, right / part)
            classes = classes_of(in_batches(predict, moved, batch_size=batch_size))
            agreement += (classes == unshifted) / len(DIRECTIONS)
            progress(i * len(DIRECTIONS) + j, len(parts) * len(DIRECTIONS))
        consistency[f"1/{part}"] = float(agreement.mean())
        if labels is not None:
            correct = unshifted == labels
            given_correct[f"1/{part}"] = float(agreement[correct].mean()) if correct.any() else None
    result: dict[str, Any] = {"consistency": consistency}
    if labels is not None:
        result["consistency_given_correct"] = given_correct
        result["unshifted_accuracy"] = float((unshifted == labels).mean())
    return result


def measure(subject: Subject, progress: Progress) -> dict[str, Any]:
    """Measure a run on its first test images."""
    images, labels = subject.test(IMAGES)
    shifts = ", ".join(f"1/{part}" for part in PARTS)
    return {
        "protocol": f"circular shifts by {shifts} pixel through the Fourier transform, down, right and both, rounded to whole "
        f"values; share that gets the class of the unshifted image, first {len(images)} test images",
        "images": len(images),
        **fractional_shift_consistency(subject.predict, images, labels, progress=progress),
    }
