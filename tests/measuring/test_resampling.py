import numpy as np

from strideflax.measuring.resampling import area_weights


def test_sizes_that_divide_average_blocks():
    assert np.array_equal(area_weights(4, 2), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    assert np.array_equal(area_weights(3, 3), np.eye(3))


def test_sizes_that_do_not_divide_share_pixels_by_area():
    assert np.allclose(area_weights(3, 2), np.array([[2, 1, 0], [0, 1, 2]]) / 3, atol=1e-15)
    assert np.allclose(area_weights(32, 11).sum(1), 1, atol=1e-14)
