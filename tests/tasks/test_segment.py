"""The task of a class for each pixel, against plain NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from strideflax.tasks import TASKS, VOID, class_overlaps, mean_overlap
from strideflax.tasks.segment import confusion_matrix

SEGMENT = TASKS["segment"]


def plain_overlaps(truth, predicted, classes):
    overlaps = []
    for label in range(classes):
        known = truth != VOID
        both = ((truth == label) & (predicted == label) & known).sum()
        either = (((truth == label) | (predicted == label)) & known).sum()
        overlaps.append(both / either if either else np.nan)
    return np.array(overlaps)


@pytest.fixture
def masks(random):
    truth = random.integers(0, 4, (5, 9, 7)).astype(np.uint8)
    predicted = np.where(random.random(truth.shape) < 0.6, truth, random.integers(0, 4, truth.shape)).astype(np.uint8)
    truth[random.random(truth.shape) < 0.1] = VOID
    return truth, predicted


def test_overlap_is_that_of_a_plain_definition(masks):
    truth, predicted = masks
    confusion = np.asarray(confusion_matrix(jnp.asarray(truth), jnp.asarray(predicted), 6))
    assert confusion.sum() == (truth != VOID).sum()
    np.testing.assert_allclose(class_overlaps(confusion), plain_overlaps(truth, predicted, 6), rtol=1e-12)
    assert mean_overlap(confusion) == pytest.approx(np.nanmean(plain_overlaps(truth, predicted, 6)))


def test_hand_drawn_overlaps():
    truth = np.zeros((1, 8, 8), np.uint8)
    truth[0, 2:6, 2:6] = 1
    moved = np.roll(truth, 1, axis=2)

    def score(predicted):
        return mean_overlap(np.asarray(confusion_matrix(jnp.asarray(truth), jnp.asarray(predicted), 2)))

    assert score(truth) == 1
    assert score(moved) == pytest.approx((12 / 20 + 44 / 52) / 2)  # 4 x 4 pixels in 8 x 8, moved by one
    assert score(1 - truth) == 0


def test_loss_and_accuracy_leave_void_out(masks, random):
    truth, _ = masks
    logits = random.normal(size=(*truth.shape, 4)).astype(np.float32)
    known = truth != VOID
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    smoothed = 0.8 * np.eye(4)[np.where(known, truth, 0)] + 0.2 / 4
    expected = -(smoothed * log_probabilities).sum(-1)[known].mean()
    loss, accuracy = SEGMENT.loss(jnp.asarray(logits), jnp.asarray(truth), 0.2)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert float(accuracy) == pytest.approx((logits.argmax(-1) == truth)[known].mean(), rel=1e-6)
    nothing, _ = SEGMENT.loss(jnp.asarray(logits), jnp.full_like(truth, VOID), 0.2)
    assert float(nothing) == 0


def test_evaluation_counts_real_images_once(masks, random):
    truth, _ = masks
    logits = random.normal(size=(*truth.shape, 4)).astype(np.float32)
    whole = SEGMENT.evaluation([SEGMENT.totals(jnp.asarray(logits), jnp.asarray(truth), jnp.ones(5, bool))], 5)
    parts = []
    for chosen in ([0, 1, 2], [3, 4, 4]):
        real = jnp.array([True, True, chosen[1] != chosen[2]])
        parts.append(SEGMENT.totals(jnp.asarray(logits[chosen]), jnp.asarray(truth[chosen]), real))
    split = SEGMENT.evaluation(parts, 5)
    assert split.loss == pytest.approx(whole.loss, rel=1e-5)
    assert (split.accuracy, split.mean_iou) == (whole.accuracy, whole.mean_iou)
    assert whole.mean_iou == pytest.approx(np.nanmean(plain_overlaps(truth, logits.argmax(-1), 4)))
    np.testing.assert_array_equal(split.confusion, whole.confusion)


def test_one_class_everywhere_is_suspicious(masks):
    truth, _ = masks
    logits = jnp.asarray(np.broadcast_to(np.eye(4, dtype=np.float32)[2], (*truth.shape, 4)))
    found = SEGMENT.evaluation([SEGMENT.totals(logits, jnp.asarray(truth), jnp.ones(5, bool))], 5)
    (line,) = SEGMENT.suspicions(found)
    assert "every pixel of the test images is taken for the same class" in line
