"""Equivariance of masks: whether the mask moves with the image, exactly, over all small shifts."""

from functools import partial
from typing import Any

import numpy as np
from jax import Array, lax
from jax.tree_util import Partial

from strideflax.measuring.batches import ImageFunction, Progress, as_pytree, no_progress
from strideflax.measuring.overlap import check_masks, confusion
from strideflax.measuring.shifts import MAX_SHIFT, at_every_shift, by_border, classes_of_window, usual_shift
from strideflax.measuring.subject import Subject
from strideflax.programs import Program
from strideflax.tasks import VOID, mean_overlap

IMAGES = 48
BATCH_SIZE = 24


@partial(Program, static_argnums=(1, 5))
def _mask_of_window(
    predict: Partial, reach: int, padded: Array, row: Array, column: Array, size: tuple[int, int]
) -> Array:
    """Return what the window at ``(row, column)`` says of the pixels that all windows see, ``[batch, height, width]``."""
    masks = classes_of_window(predict, padded, row, column, size)
    return lax.dynamic_slice(masks, (0, reach - row, reach - column), (len(masks), size[0] - reach, size[1] - reach))


def shifted_masks(
    predict: ImageFunction,
    images: np.ndarray,
    *,
    border: str,
    max_shift: int = MAX_SHIFT,
    batch_size: int = BATCH_SIZE,
    progress: Progress = no_progress,
) -> np.ndarray:
    """Return the mask at every shift, moved back, int32 ``[n, 2 m + 1, 2 m + 1, height, width]``; no shift is in the middle.

    Only pixels that every shifted image still shows are returned: of images of ``(height, width)`` the inner
    ``(height - 2 m, width - 2 m)``, and with "crop" ``(height - 4 m, width - 4 m)``.

    Args:
        predict: images ``[batch, height, width, channels]`` -> logits ``[batch, height, width, classes]``, a traceable JAX
            function.
        images: ``[n, height, width, channels]`` of the type that ``predict`` takes.
        border: what moves in, as in `strideflax.measuring.shifts.shifted_classes`.
        max_shift: m, pixels.
        batch_size: images at once.
        progress: told the number of forward passes done (images times shifts).

    Raises:
        ValueError: no images, an unknown border, shifts of a quarter of the image or more, or logits that are NaN or infinite.
    """
    return at_every_shift(
        partial(_mask_of_window, as_pytree(predict), 2 * max_shift),
        images,
        border=border,
        max_shift=max_shift,
        part=4,
        batch_size=batch_size,
        progress=progress,
    )


def equivariance_of_masks(masks: np.ndarray, truth: np.ndarray, classes: int) -> dict[str, Any]:
    """Return how far masks moved with their images.

    Args:
        masks: from `shifted_masks`.
        truth: the true masks of the same pixels, int ``[n, height, width]``.
        classes: number of classes.

    Returns:
        Shares from 0 to 1: ``consistency``, of pixels with the class of the unshifted image, mean over the other shifts;
        ``worst_case_consistency``, of pixels whose class is the same at every shift; ``mean_iou`` without a shift and
        ``worst_case_mean_iou`` at the one shift of all images that is worst; and ``worst_case_accuracy``, the share of labelled
        pixels that get their true class at every shift.
    """
    middle = masks.shape[1] // 2
    unshifted = masks[:, middle, middle]
    check_masks(truth, unshifted)
    same = masks == unshifted[:, None, None]
    of_shifts = same.mean((0, 3, 4))
    overlaps = np.empty(of_shifts.shape)
    for place in np.ndindex(overlaps.shape):
        overlaps[place] = mean_overlap(confusion(truth, masks[:, *place], classes))
    right = (masks == truth[:, None, None]).all((1, 2))
    shifts = of_shifts.size - 1
    return {
        "consistency": float((of_shifts.sum() - 1) / shifts),
        "worst_case_consistency": float(same.all((1, 2)).mean()),
        "mean_iou": float(overlaps[middle, middle]),
        "worst_case_mean_iou": float(overlaps.min()),
        "worst_case_accuracy": float(right[truth != VOID].mean()),
    }


def common_pixels(masks: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return the middle ``size`` of ``[n, height, width]``."""
    top, left = (masks.shape[1] - size[0]) // 2, (masks.shape[2] - size[1]) // 2
    return masks[:, top : top + size[0], left : left + size[1]]


def measure(subject: Subject, progress: Progress) -> dict[str, Any]:
    """Measure a run on its first test images with all four borders."""
    images, truth = subject.test(IMAGES)
    max_shift = usual_shift(images, 4)
    classes = len(subject.run.classes)
    result: dict[str, Any] = {
        "protocol": f"all (2m+1)^2 shifts by up to m = {max_shift} pixels, masks moved back and compared where every shifted "
        f"image shows the pixel, first {len(images)} test images; crop moves a window {2 * max_shift} pixels smaller",
        "images": len(images),
    }
    for border, border_progress in by_border(progress):
        masks = shifted_masks(subject.predict, images, border=border, max_shift=max_shift, progress=border_progress)
        result[border] = equivariance_of_masks(masks, common_pixels(truth, masks.shape[3:]), classes)
    return result
