"""Calibration: whether a net that says 0.8 is right eight times in ten."""

from typing import Any

import numpy as np

from strideflax.measuring.batches import BATCH_SIZE, ImageFunction, Progress, in_batches, no_progress
from strideflax.measuring.checks import check_count, check_images, check_is_logits, check_logits
from strideflax.measuring.subject import Subject

BINS = 15


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Return log softmax over the last axis, float64."""
    logits = np.asarray(logits, np.float64)
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of ``-log p(label)``, in nats.

    Args:
        logits: ``[n, classes]``.
        labels: int ``[n]``.

    Raises:
        ValueError: logits or labels of another shape or type, a NaN, or a label that is not one of the classes.
    """
    check_logits(logits, labels)
    return float(-log_probabilities(logits)[np.arange(len(labels)), labels].mean())


def expected_calibration_error(logits: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Return the mean distance between confidence and accuracy, over equal-width bins of the top probability.

    ``ECE = sum_b n_b / n |accuracy_b - confidence_b|``, bin b being ``(b / bins, (b + 1) / bins]``. Source: Guo et
    al. 2017 (arXiv:1706.04599).

    Args:
        logits: ``[n, classes]``.
        labels: int ``[n]``.
        bins: how many.

    Returns:
        A number from 0 (confidence is accuracy in every bin) to 1.

    Raises:
        ValueError: logits or labels of another shape or type, a NaN, or a label that is not one of the classes.
    """
    check_logits(logits, labels)
    check_count("bins", bins)
    confidence = np.exp(log_probabilities(logits).max(-1))
    correct = np.argmax(logits, -1) == labels
    bin_of_image = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    # Within a bin n_b |accuracy - confidence| is |sum(correct - confidence)|.
    gaps = np.abs(np.bincount(bin_of_image, correct - confidence, minlength=bins))
    return float(gaps.sum() / len(labels))


def balanced_accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over the classes of the share of a class's images whose top class it is.

    Where all classes have as many images it is the accuracy. Classes without images are left out. Source: Brodersen et al.,
    "The balanced accuracy and its posterior distribution" (ICPR 2010). Arguments and errors as `negative_log_likelihood`.
    """
    check_logits(logits, labels)
    images = np.bincount(labels)
    correct = np.bincount(labels, weights=np.argmax(logits, -1) == labels)
    return float((correct[images > 0] / images[images > 0]).mean())


def calibration(
    predict: ImageFunction,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    batch_size: int = BATCH_SIZE,
    progress: Progress = no_progress,
) -> dict[str, float]:
    """Return how far a net's confidence is from its accuracy.

    Args:
        predict: images ``[batch, height, width, channels]`` -> logits ``[batch, classes]``, a traceable JAX function.
        images: ``[n, height, width, channels]`` of the type that ``predict`` takes.
        labels: the true classes, int ``[n]``.
        batch_size: images at once.
        progress: told the number of images done.

    Returns:
        ``accuracy``, ``balanced_accuracy``, ``expected_calibration_error``, ``negative_log_likelihood`` in nats, and
        ``mean_confidence``.

    Raises:
        ValueError: images, labels or logits of another shape or type, or a NaN.
    """
    check_images(images, labels)
    logits = in_batches(predict, images, batch_size=batch_size, progress=progress)
    check_is_logits(logits)
    return {
        "accuracy": float((logits.argmax(-1) == labels).mean()),
        "balanced_accuracy": balanced_accuracy(logits, labels),
        "expected_calibration_error": expected_calibration_error(logits, labels),
        "negative_log_likelihood": negative_log_likelihood(logits, labels),
        "mean_confidence": float(np.exp(log_probabilities(logits).max(-1)).mean()),
    }


def measure(subject: Subject, progress: Progress) -> dict[str, Any]:
    """Measure a run on its test images."""
    images, labels = subject.test()
    return {
        "protocol": f"{BINS} equal-width bins of the top probability; mean -log p(label) in nats; "
        f"first {len(images)} test images",
        "images": len(images),
        **calibration(subject.predict, images, labels, progress=progress),
    }
