"""Images brought to another size: the pixels, and where the objects are then."""

import numpy as np
import pytest

from strideflax.config import DataConfig
from strideflax.data import load_dataset
from strideflax.data.resize import fitted, resized


def test_halving_is_a_triangle_of_four_pixels(random):
    images = random.integers(0, 256, (2, 8, 8, 3), np.uint8)
    weights = np.zeros((4, 8))
    for i in range(4):
        weights[i] = np.maximum(0, 1 - abs(np.arange(8) + 0.5 - 2 * (i + 0.5)) / 2)
    weights /= weights.sum(1, keepdims=True)
    expected = np.einsum("ih,nhwc,jw->nijc", weights, images, weights)
    np.testing.assert_allclose(resized(images, (4, 4, 3)), expected, atol=1)


def test_channels_become_luma_or_three_times_the_same(random):
    images = random.integers(0, 256, (2, 8, 8, 3), np.uint8)
    grey = resized(images, (8, 8, 1))
    np.testing.assert_allclose(grey[..., 0], images @ np.array([0.299, 0.587, 0.114]), atol=1)
    np.testing.assert_array_equal(resized(grey, (8, 8, 3)), grey.repeat(3, axis=-1))


@pytest.mark.parametrize("side", [16, 48])
def test_an_object_s_centre_moves_with_its_pixels(side):
    """A dot is drawn at each centre; the centre of gravity of its resized picture is the resized centre."""
    data = load_dataset(DataConfig(name="shapes", train_count=40, val_count=10, test_count=10))
    for split in (data.train, data.val, data.test):
        split.images[:] = 0
        for image, (row, column) in zip(split.images, np.round(split.centres).astype(int), strict=True):
            image[row, column] = 255
        split.centres[:] = np.round(split.centres)
    small = fitted(data, (side, side, 1)).test
    grid = np.arange(side)
    weights = small.images[..., 0].astype(float)
    rows = (weights.sum(2) @ grid) / weights.sum((1, 2))
    columns = (weights.sum(1) @ grid) / weights.sum((1, 2))
    np.testing.assert_allclose(np.stack([rows, columns], 1), small.centres, atol=0.1)


def test_what_fits_is_left_as_it_is():
    data = load_dataset(DataConfig(name="shapes", train_count=40, val_count=10, test_count=10))
    assert fitted(data, (32, 32, 3)) is data
