import numpy as np
import pytest

from strideflax.measuring.calibration import expected_calibration_error, log_probabilities, negative_log_likelihood


def logits_of(probabilities):
    return np.log(np.asarray(probabilities))


def test_log_probabilities_survive_large_logits():
    assert np.array_equal(log_probabilities(np.array([[1000.0, 1000.0]])), [[-np.log(2)] * 2])


def test_negative_log_likelihood_by_hand():
    logits = logits_of([[0.5, 0.5], [0.9, 0.1]])
    assert negative_log_likelihood(logits, np.array([0, 1])) == pytest.approx((np.log(2) + np.log(10)) / 2, rel=1e-12)


def test_calibration_error_by_hand():
    # Bins of width 1/15: 0.62 and 0.65 share (0.6, 0.667]; 0.9 and 0.92 share (0.867, 0.933]; all right but the second.
    logits = logits_of([[0.62, 0.38], [0.35, 0.65], [0.9, 0.1], [0.92, 0.08]])
    labels = np.array([0, 0, 0, 0])
    by_hand = (abs(1 - 0.62 - 0.65) + abs(2 - 0.9 - 0.92)) / 4
    assert expected_calibration_error(logits, labels) == pytest.approx(by_hand, abs=1e-12)
    # In one bin all four errors may cancel: |3 - 3.09| / 4.
    assert expected_calibration_error(logits, labels, bins=1) == pytest.approx(0.09 / 4, abs=1e-12)


def test_a_bin_is_closed_above():
    # 0.5 lies in (0, 0.5] and 0.6 in (0.5, 1]: |1 - 0.5| and |0 - 0.6|, which would all but cancel in one bin.
    logits = np.array([[0.0, 0.0], [np.log(0.6), np.log(0.4)]])
    assert expected_calibration_error(logits, np.array([0, 1]), bins=2) == pytest.approx((0.5 + 0.6) / 2, abs=1e-9)


def test_a_certain_and_right_net_has_no_error():
    assert expected_calibration_error(np.array([[50.0, 0.0]]), np.array([0])) == pytest.approx(0, abs=1e-12)
