"""One class for each pixel: semantic segmentation. Pixels that nobody labelled, `VOID`, count nowhere."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from strideflax.config import AugmentConfig
from strideflax.data.augment_masks import augment_with_masks
from strideflax.data.dataset import VOID
from strideflax.tasks.classify import REMEDY, smoothed_cross_entropy
from strideflax.tasks.task import Evaluation

__all__ = ["VOID", "Segment", "class_overlaps", "confusion_matrix", "mean_overlap"]


class Totals(NamedTuple):
    """Sums over the labelled pixels of a batch.

    Attributes:
        loss_sum: float32.
        confusion: pixels by their true class and the one that they were taken for, int32 ``[classes, classes]``.
    """

    loss_sum: Array
    confusion: Array


def confusion_matrix(truth: Array, predicted: Array, classes: int) -> Array:
    """Return how many pixels of each true class (rows) were taken for each class (columns), int32 ``[classes, classes]``.

    Args:
        truth: int ``[batch, height, width]``; `VOID` and every other number that is no class counts nothing.
        predicted: int of the same shape.
        classes: their number.
    """
    shape = (len(truth), -1, classes)
    true = jax.nn.one_hot(truth, classes).reshape(shape)
    found = jax.nn.one_hot(predicted, classes).reshape(shape)
    of_images = jnp.einsum("bpt,bpf->btf", true, found)  # exact, as no image has 2^24 pixels
    return jnp.round(of_images).astype(jnp.int32).sum(0)


def class_overlaps(confusion: np.ndarray) -> np.ndarray:
    """Return each class's intersection over union, ``TP / (TP + FP + FN)``, float64 ``[classes]``.

    It is NaN for a class that is neither there nor found. Source: Everingham et al. 2010, the measure of PASCAL VOC.

    Args:
        confusion: from `confusion_matrix`, of all images together.
    """
    intersection = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0, dtype=np.float64) + confusion.sum(1, dtype=np.float64) - intersection
    return np.divide(intersection, union, out=np.full(len(union), np.nan), where=union > 0)


def mean_overlap(confusion: np.ndarray) -> float:
    """Return the mean intersection over union of the classes that are there or found: the mean IoU, from 0 to 1."""
    overlaps = class_overlaps(confusion)
    return float(np.nanmean(overlaps)) if np.isfinite(overlaps).any() else 0.0


class Segment:
    """Targets int ``[batch, height, width]``, logits ``[batch, height, width, classes]``."""

    def augment(
        self, images: Array, targets: Array, key: Array, config: AugmentConfig, mirrored: Array | None = None
    ) -> tuple[Array, Array]:
        """Move images and masks alike."""
        return augment_with_masks(images, targets, key, config, mirrored)

    def loss(self, logits: Array, targets: Array, smoothing: float) -> tuple[Array, Array]:
        """Return the mean cross-entropy over the batch's labelled pixels, and the share of them whose top class is right."""
        labelled = targets != VOID
        count = jnp.maximum(labelled.sum(dtype=jnp.float32), 1.0)
        losses = smoothed_cross_entropy(logits, targets, smoothing)
        right = labelled & (logits.argmax(-1) == targets)
        return jnp.where(labelled, losses, 0.0).sum() / count, right.sum(dtype=jnp.float32) / count

    def totals(self, logits: Array, targets: Array, real: Array) -> Totals:
        """Return sums over the labelled pixels of the real images, the loss without smoothing."""
        classes = logits.shape[-1]
        targets = jnp.where(real[:, None, None], targets.astype(jnp.int32), VOID)
        labelled = targets != VOID
        losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits, jnp.where(labelled, targets, 0))
        return Totals(
            loss_sum=jnp.where(labelled, losses, 0.0).sum(),
            confusion=confusion_matrix(targets, logits.argmax(-1), classes),
        )

    def evaluation(self, totals: Sequence[Totals], count: int) -> Evaluation:
        """Return means over all labelled pixels, and the mean IoU over classes."""
        loss_sum, confusion = 0.0, np.zeros((), np.int64)
        for one in totals:
            loss_sum += float(one.loss_sum)
            confusion = confusion + np.asarray(one.confusion)
        pixels = max(int(confusion.sum()), 1)
        accuracy = float(np.trace(confusion)) / pixels
        return Evaluation(loss_sum / pixels, accuracy, confusion=confusion, mean_iou=mean_overlap(confusion))

    def suspicions(self, test: Evaluation) -> list[str] | None:
        """Return a line where all pixels were taken for one class."""
        assert test.confusion is not None  # as this task's evaluations have it
        predicted = test.confusion.sum(0)
        if predicted.max() == predicted.sum():
            return [f"every pixel of the test images is taken for the same class; {REMEDY}"]
        return None
