"""Masks against masks: hand-drawn cases, and a definition that goes pixel by pixel."""

import numpy as np
import pytest

from strideflax.measuring.overlap import boundary, boundary_score, boundary_scores, confusion, recall_by_size
from strideflax.tasks import VOID


def square(top=4, left=4, side=8, size=20):
    mask = np.zeros((1, size, size), np.uint8)
    mask[0, top : top + side, left : left + side] = 1
    return mask


def edge_pixels(mask, label):
    """The pixels of ``label`` in ``[height, width]`` with a known neighbour of another class, one by one."""
    height, width = mask.shape
    found = []
    for row in range(height):
        for column in range(width):
            if mask[row, column] != label:
                continue
            for y, x in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if 0 <= y < height and 0 <= x < width and mask[y, x] not in (label, VOID):
                    found.append((row, column))
                    break
    return np.array(found).reshape(-1, 2)


def plain_score(truth, predicted, distance):
    scores = []
    for true, found in zip(truth, predicted, strict=True):
        found = np.where(true == VOID, VOID, found)
        for label in set(np.unique(true)) - {VOID}:
            a, b = edge_pixels(true, label), edge_pixels(found, label)
            if len(a) == 0 or len(b) == 0:
                scores.append(float(len(a) == len(b)))
                continue
            distances = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
            precision, recall = (distances.min(0) <= distance).mean(), (distances.min(1) <= distance).mean()
            scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return np.mean(scores)


def test_boundaries_are_those_of_a_plain_definition(random):
    truth = np.repeat(np.repeat(random.integers(0, 3, (4, 4, 5)), 4, 1), 3, 2).astype(np.uint8)
    predicted = np.roll(truth, (1, 1), (1, 2))
    predicted[random.random(truth.shape) < 0.05] = 2
    truth[random.random(truth.shape) < 0.05] = VOID
    found = boundary_scores(truth, predicted, (0, 1, 1.5, 3))
    for distance, score in found.items():
        assert score == pytest.approx(plain_score(truth, predicted, distance), abs=1e-12)
    assert found[0] < found[1] < found[3] < 1


def test_a_perfect_mask_scores_one_and_a_moved_one_what_was_computed():
    truth = square()
    assert boundary_score(truth, truth, 1) == 1
    edge = boundary(truth[0] == 1, np.ones((20, 20), bool))
    assert edge.sum() == 4 * 8 - 4
    one, two = (square(left=4 + shift) for shift in (1, 2))
    assert boundary_score(truth, one, 1) == 1
    # Of the square's 28 boundary pixels, the 8 of either upright side lie 2 pixels away, and 2 x 6 + ... on the other two.
    assert boundary_score(truth, two, 1) == pytest.approx(plain_score(truth, two, 1))
    assert boundary_score(truth, two, 1) < 0.9
    assert boundary_score(truth, two, 2) == 1
    assert boundary_score(truth, np.zeros_like(truth), 3) == 0


def test_masks_that_one_class_fills():
    full = np.ones((1, 6, 6), np.uint8)
    assert boundary_score(full, full, 1) == 1
    part = full.copy()
    part[0, 2, 2] = 0
    assert boundary_score(full, part, 1) == 0


def test_objects_by_their_size():
    truth = np.zeros((1, 40, 40), np.uint8)
    truth[0, 1:5, 1:5] = 1  # 16 pixels
    truth[0, 10:20, 10:20] = 1  # 100
    predicted = truth.copy()
    predicted[0, 1:5, 1:3] = 0  # half of the small one is lost
    found = recall_by_size(truth, predicted)
    assert found["small"] == {"objects": 1, "recall": 0.5}
    assert found["medium"] == {"objects": 1, "recall": 1.0}
    assert found["large"] == {"objects": 1, "recall": 1.0}, "the ground"


def test_objects_touch_over_edges_start_at_their_size_and_count_once_whatever_it_is():
    truth = np.zeros((1, 40, 40), np.uint8)
    truth[0, :8, :8] = 1  # 64 pixels
    truth[0, 8:24, 8:24] = 1  # 256, at its corner
    truth[0, 30, 30:32] = 1
    truth[0, 34:38, 30:34] = 1
    predicted = truth.copy()
    predicted[0, 30, 30] = 0  # half of the smallest one is lost
    found = recall_by_size(truth, predicted)
    assert found["small"] == {"objects": 2, "recall": 0.75}
    assert found["medium"] == {"objects": 1, "recall": 1.0}
    assert found["large"]["objects"] == 2, "the ground is one"


def test_confusion_counts_labelled_pixels(random):
    truth = random.integers(0, 3, (2, 5, 5)).astype(np.uint8)
    truth[0, 0] = VOID
    predicted = random.integers(0, 3, (2, 5, 5)).astype(np.uint8)
    expected = np.zeros((3, 3), int)
    for true, found in zip(truth.ravel(), predicted.ravel(), strict=True):
        if true != VOID:
            expected[true, found] += 1
    np.testing.assert_array_equal(confusion(truth, predicted, 3), expected)


def test_arrays_that_are_no_masks():
    masks = np.zeros((2, 4, 4), np.uint8)
    with pytest.raises(ValueError, match=r"one shape .* got \[2, 4, 4\] and \[1, 4, 4\]"):
        boundary_score(masks, masks[:1], 1)
    with pytest.raises(ValueError, match=r"masks must be ints, got float64"):
        recall_by_size(masks, masks.astype(float))
    with pytest.raises(ValueError, match=r"classes under 3, or 255 for none, got 4"):
        confusion(masks, masks + 4, 3)
