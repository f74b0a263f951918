"""Equivariance of masks: nets whose masks move with the image in a known way."""

import jax.numpy as jnp
import numpy as np
import pytest

from strideflax.measuring.mask_shifts import common_pixels, equivariance_of_masks, shifted_masks
from strideflax.measuring.shifts import BORDERS


def by_brightness(images):
    """Class 1 where a pixel is bright: moves with the image."""
    bright = images[..., 0] > 127
    return jnp.stack([~bright, bright], -1).astype(jnp.float32)


def by_blocks(images):
    """The class of each 2 x 2 block's first pixel: moves with the image by two pixels only."""
    bright = by_brightness(images)
    height, width = images.shape[1:3]
    blocks = bright[:, ::2, ::2].repeat(2, 1).repeat(2, 2)
    return blocks[:, :height, :width]


@pytest.fixture
def images(random):
    return random.integers(0, 256, (3, 16, 20, 3), np.uint8)


@pytest.mark.parametrize("border", BORDERS)
def test_a_mask_pixel_by_pixel_is_equivariant(images, border):
    masks = shifted_masks(by_brightness, images, border=border, max_shift=2, batch_size=2)
    inner = (8, 12) if border == "crop" else (12, 16)
    assert masks.shape == (3, 5, 5, *inner)
    truth = common_pixels((images[..., 0] > 127).astype(np.uint8), inner)
    np.testing.assert_array_equal(masks, np.broadcast_to(truth[:, None, None], masks.shape))
    found = equivariance_of_masks(masks, truth, 2)
    assert set(found.values()) == {1.0}


def test_a_mask_in_blocks_is_what_a_plain_loop_says(images):
    masks = shifted_masks(by_blocks, images, border="circular", max_shift=2)
    bright = (images[..., 0] > 127).astype(np.uint8)
    for down in range(-2, 3):
        for right in range(-2, 3):
            moved = np.roll(bright, (down, right), (1, 2))
            blocks = moved[:, ::2, ::2].repeat(2, 1).repeat(2, 2)
            back = np.roll(blocks, (-down, -right), (1, 2))
            np.testing.assert_array_equal(masks[:, down + 2, right + 2], common_pixels(back, (12, 16)))
    truth = common_pixels(bright, (12, 16))
    found = equivariance_of_masks(masks, truth, 2)
    same = masks == masks[:, 2, 2][:, None, None]
    assert found["consistency"] == pytest.approx((same.mean() * 25 - 1) / 24)
    assert found["worst_case_consistency"] == pytest.approx(same.all((1, 2)).mean())
    assert found["worst_case_accuracy"] == pytest.approx((masks == truth[:, None, None]).all((1, 2)).mean())
    assert found["worst_case_mean_iou"] <= found["mean_iou"] < 1


def test_logits_that_are_no_numbers_have_no_class(images):
    with pytest.raises(ValueError, match="logits must be finite"):
        shifted_masks(
            lambda images: by_brightness(images).at[0, 0].set(jnp.nan), images, border="circular", max_shift=2
        )


def test_shifts_that_leave_nothing_in_common(images):
    with pytest.raises(ValueError, match="under a quarter of the image"):
        shifted_masks(by_brightness, images, border="crop", max_shift=4)
    with pytest.raises(ValueError, match="border must be one of"):
        shifted_masks(by_brightness, images, border="wrap")
