"""Equivariance of masks: nets whose masks move with the image in a known way."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from strideflax.measuring.batches import no_progress
from strideflax.measuring.mask_shifts import common_pixels, equivariance_of_masks, shifted_masks
from strideflax.measuring.segmentation import predicted_masks
from strideflax.measuring.shifts import BORDERS
from strideflax.tasks import VOID


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
    return random.integers(0, 256, (5, 16, 20, 3), np.uint8)


@pytest.mark.parametrize("border", BORDERS)
def test_a_mask_pixel_by_pixel_is_equivariant(images, border):
    masks = shifted_masks(by_brightness, images, border=border, max_shift=2, batch_size=3)
    inner = (8, 12) if border == "crop" else (12, 16)
    assert masks.shape == (5, 5, 5, *inner)
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


def test_the_worst_shift_may_be_any_and_pixels_without_a_class_count_nothing():
    """Two images of 2 x 2 pixels at nine shifts; at one shift the second image is all wrong."""
    truth = np.array([[[0, 0], [1, 1]], [[0, 1], [1, VOID]]], np.uint8)
    masks = np.where(truth == VOID, 0, truth)[:, None, None].repeat(3, 1).repeat(3, 2).astype(np.int32)
    masks[1, 1, 2] = 1 - masks[1, 1, 2]
    found = equivariance_of_masks(masks, truth, 2)
    assert found["mean_iou"] == 1
    assert found["worst_case_mean_iou"] == pytest.approx(2 / 5)  # of either class: 3 of 7 labelled pixels are wrong
    assert found["worst_case_accuracy"] == pytest.approx(4 / 7)
    assert found["worst_case_consistency"] == 4 / 8
    assert found["consistency"] == pytest.approx((7 + 1 / 2) / 8)


def test_shifts_that_leave_nothing_in_common(images):
    with pytest.raises(ValueError, match="under a quarter of the image"):
        shifted_masks(by_brightness, images, border="crop", max_shift=4)
    with pytest.raises(ValueError, match="border must be one of"):
        shifted_masks(by_brightness, images, border="wrap")


def test_predicted_masks_are_classes_and_logits_that_are_no_numbers_are_refused_there_too(images):
    def one_pixel_of_no_number(images):
        return by_brightness(images).at[-1, 8, 10].set(jnp.nan)

    expected = (images[..., 0] > 127).astype(np.uint8)
    np.testing.assert_array_equal(predicted_masks(Partial(by_brightness), images, no_progress), expected)
    with pytest.raises(ValueError, match="logits must be finite"):
        predicted_masks(Partial(one_pixel_of_no_number), images, no_progress)
