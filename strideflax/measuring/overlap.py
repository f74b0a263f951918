"""How well masks fit: overlap by class, the boundary within a few pixels, and objects by their size. Functions of arrays."""

from typing import Any

import numpy as np
from scipy import ndimage

from strideflax.tasks import VOID

DISTANCES = (1, 2, 3)  # pixels
SIZES = {"small": (0, 64), "medium": (64, 256), "large": (256, None)}  # pixels of an object, from and to


def check_masks(truth: np.ndarray, predicted: np.ndarray) -> None:
    """Raise ValueError unless both are whole numbers of one shape ``[n, height, width]``, none of them 0."""
    if truth.shape != predicted.shape or truth.ndim != 3 or 0 in truth.shape:
        raise ValueError(
            f"masks must have one shape [n, height, width], none of them 0, got {list(truth.shape)} and {list(predicted.shape)}"
        )
    for masks in (truth, predicted):
        if masks.dtype.kind not in "iu":
            raise ValueError(f"masks must be ints, got {masks.dtype}")


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return how many labelled pixels of each true class (rows) were taken for each class, int64 ``[classes, classes]``.

    Raises:
        ValueError: masks of different shapes, or a class that is not under ``classes``.
    """
    check_masks(truth, predicted)
    known = truth != VOID
    pairs = truth[known].astype(np.int64) * classes + predicted[known]
    highest = max(int(truth[known].max(initial=0)), int(predicted[known].max(initial=0)))
    if highest >= classes:
        raise ValueError(f"masks must hold classes under {classes}, or {VOID} for none, got {highest}")
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def boundary(inside: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the pixels ``inside`` with a neighbour above, below, left or right that is labelled and outside.

    Args:
        inside: bool ``[height, width]``, the pixels of a class.
        known: bool ``[height, width]``, the labelled pixels.
    """
    outside = np.pad(known & ~inside, 1)
    near = outside[:-2, 1:-1] | outside[2:, 1:-1] | outside[1:-1, :-2] | outside[1:-1, 2:]
    return inside & known & near


def boundary_score(truth: np.ndarray, predicted: np.ndarray, distance: float) -> float:
    """Return the mean boundary F-score of masks ``[n, height, width]``, from 0 to 1.

    For each image and each class in its true mask: precision is the share of the predicted `boundary` that lies within
    ``distance`` pixels (Euclidean) of the true one, recall the share of the true one within ``distance`` of the predicted one,
    ``F = 2 P R / (P + R)``. A class without a boundary in both masks, one that fills the image, scores 1, and one without in
    either 0. The mean is over all these pairs. Source: Csurka et al. 2013, "What is a good evaluation measure for semantic
    segmentation?".

    Args:
        truth: int, `VOID` where unknown: what is predicted there counts nothing.
        predicted: int.
        distance: pixels.

    Raises:
        ValueError: masks of different shapes.
    """
    check_masks(truth, predicted)
    return boundary_scores(truth, predicted, (distance,))[distance]


def boundary_scores(
    truth: np.ndarray, predicted: np.ndarray, distances: tuple[float, ...] = DISTANCES
) -> dict[float, float]:
    """Return `boundary_score` for several distances at once."""
    scores: dict[float, list[float]] = {distance: [] for distance in distances}
    for true, found in zip(truth, predicted, strict=True):
        known = true != VOID
        for label in np.unique(true[known]):
            true_edge = boundary(true == label, known)
            found_edge = boundary(found == label, known)
            for distance, score in _edge_scores(true_edge, found_edge, distances).items():
                scores[distance].append(score)
    return {distance: float(np.mean(values)) if values else 0.0 for distance, values in scores.items()}


def _edge_scores(true_edge: np.ndarray, found_edge: np.ndarray, distances: tuple[float, ...]) -> dict[float, float]:
    """Return the F-score of two boundaries for each distance."""
    if not true_edge.any() or not found_edge.any():
        return dict.fromkeys(distances, float(not true_edge.any() and not found_edge.any()))
    to_true = ndimage.distance_transform_edt(~true_edge)[found_edge]
    to_found = ndimage.distance_transform_edt(~found_edge)[true_edge]
    scores = {}
    for distance in distances:
        precision, recall = (to_true <= distance).mean(), (to_found <= distance).mean()
        total = precision + recall
        scores[distance] = float(2 * precision * recall / total) if total else 0.0
    return scores


def recall_by_size(truth: np.ndarray, predicted: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return for each of `SIZES` the number of ``objects``, and the mean share of their pixels that are right, ``recall``.

    An object is a connected part (over edges) of a true mask's class; of every class, as none is known to be the ground. It
    counts once, whatever its size, so that small objects are not lost among the pixels of large ones. None without any.

    Args:
        truth, predicted: int ``[n, height, width]``.

    Raises:
        ValueError: masks of different shapes.
    """
    check_masks(truth, predicted)
    pixels, right = [], []
    for true, found in zip(truth, predicted, strict=True):
        for label in np.unique(true[true != VOID]):
            parts, count = ndimage.label(true == label)
            numbers = np.arange(1, count + 1)
            pixels += np.bincount(parts.ravel(), minlength=count + 1)[1:].tolist()
            right += ndimage.sum_labels(found == label, parts, numbers).tolist()
    sizes, recalls = np.array(pixels), np.array(right) / np.maximum(pixels, 1)
    results: dict[str, dict[str, Any]] = {}
    for name, (low, high) in SIZES.items():
        chosen = (sizes >= low) & (sizes < (high or np.inf))
        results[name] = {
            "objects": int(chosen.sum()),
            "recall": float(recalls[chosen].mean()) if chosen.any() else None,
        }
    return results
