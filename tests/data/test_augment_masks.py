"""Masks go wherever their images go: with every augmentation, alone and all together."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from strideflax.config import AugmentConfig
from strideflax.data.augment import augment
from strideflax.data.augment_masks import augment_with_masks, scale
from strideflax.data.dataset import VOID

OFF = {"crop": 0, "flip": False, "cutout": 0}
CHANGES = {
    "crop": {"crop": 3},
    "flip": {"flip": True},
    "crop and flip": {"crop": 5, "flip": True},
}


def pairs(random, count=24, size=(12, 18)):
    """Masks, and images whose every channel is the mask's class times 20 plus 10: an image that shows its mask."""
    masks = random.integers(0, 5, (count, *size), np.uint8)
    images = np.repeat((20 * masks + 10)[..., None], 3, -1)
    return jnp.asarray(images), jnp.asarray(masks)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_pixel_keeps_its_class(random, change):
    images, masks = pairs(random)
    config = AugmentConfig(**(OFF | change))
    moved, found = jax.jit(augment_with_masks, static_argnums=3)(images, masks, jax.random.key(0), config)
    assert not np.array_equal(moved, images)
    from_image = np.where(np.asarray(moved[..., 0]) == 0, VOID, (np.asarray(moved[..., 0]) - 10) // 20)
    np.testing.assert_array_equal(found, from_image)
    if "crop" in change:
        assert (np.asarray(found) == VOID).any(), "what comes in has no class"


def test_images_are_changed_as_they_are_without_masks(random):
    images, masks = pairs(random)
    config = AugmentConfig(crop=3, flip=True, cutout=4)
    moved, _ = augment_with_masks(images, masks, jax.random.key(1), config)
    np.testing.assert_array_equal(moved, augment(images, jax.random.key(1), config))


def test_a_scale_draws_from_a_stream_of_its_own(random):
    images, masks = pairs(random)
    key, others = jax.random.key(1), AugmentConfig(crop=3, flip=True, cutout=0)

    @jax.jit
    def found_and_expected(images, masks, key):
        scaled = scale(images, masks, jax.random.fold_in(key, 3), 0.5)
        expected = augment_with_masks(*scaled, key, others)
        return augment_with_masks(images, masks, key, replace(others, scale=0.5)), expected

    found, expected = found_and_expected(images, masks, key)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_cutout_hides_pixels_and_leaves_their_classes(random):
    images, masks = pairs(random)
    moved, found = augment_with_masks(images, masks, jax.random.key(0), AugmentConfig(crop=0, flip=False, cutout=6))
    assert not np.array_equal(moved, images)
    np.testing.assert_array_equal(found, masks)


def test_nothing_happens_where_all_is_off(random):
    images, masks = pairs(random)
    moved, found = augment_with_masks(images, masks, jax.random.key(0), AugmentConfig(**OFF))
    np.testing.assert_array_equal(moved, images)
    np.testing.assert_array_equal(found, masks)


class TestScale:
    """Images of a bright rectangle, whose mask is where it is bright."""

    def rectangle(self, count=16):
        images = np.zeros((count, 40, 40, 3), np.uint8)
        images[:, 12:30, 8:25] = 200
        return jnp.asarray(images), jnp.asarray((images[..., 0] > 0).astype(np.uint8))

    def test_a_mask_is_the_nearest_pixel_of_a_plain_definition(self):
        images, masks = self.rectangle()
        limit = 0.5
        _, found = scale(images, masks, jax.random.key(3), limit)
        factors = (1 + limit) ** np.asarray(jax.random.uniform(jax.random.key(3), (16,), minval=-1.0, maxval=1.0))
        assert factors.min() < 0.8 < 1.2 < factors.max()
        for one, mask, factor in zip(np.asarray(found), np.asarray(masks), factors, strict=True):
            for row in range(0, 40, 3):
                for column in range(40):
                    y = int(np.floor((row + 0.5 - 20) / factor + 20))
                    x = int(np.floor((column + 0.5 - 20) / factor + 20))
                    inside = 0 <= y < 40 and 0 <= x < 40
                    assert one[row, column] == (mask[y, x] if inside else VOID)

    @pytest.mark.parametrize("axis", [1, 2])
    def test_the_image_is_bright_where_the_mask_is_set(self, axis):
        """Bands, as both axes' weights meet at a rectangle's corners, where an image is less than half as bright."""
        images = np.zeros((16, 40, 40, 3), np.uint8)
        images[:, 12:30] = 200
        images = images if axis == 1 else images.swapaxes(1, 2)
        moved, found = scale(jnp.asarray(images), jnp.asarray(images[..., 0] // 200), jax.random.key(3), 0.5)
        known = np.asarray(found) != VOID
        bright = np.asarray(moved[..., 0]) >= 100
        np.testing.assert_array_equal(bright[known], np.asarray(found)[known] == 1)

    def test_a_mask_is_scaled_with_its_image_before_what_else_is_done(self):
        images = np.zeros((16, 40, 40, 3), np.uint8)
        images[:, :, 6:17] = 200  # not in the middle, so that a flip shows
        masks = jnp.asarray(images[..., 0] // 200)
        config = AugmentConfig(crop=5, flip=True, cutout=0, scale=0.5)
        augmented = jax.jit(augment_with_masks, static_argnums=3)
        moved, found = (np.asarray(array) for array in augmented(jnp.asarray(images), masks, jax.random.key(3), config))
        known = found != VOID
        assert len(np.unique((found == 1).sum((1, 2)))) > 4, "each image is scaled on its own"
        np.testing.assert_array_equal(moved[..., 0][known] >= 100, found[known] == 1)

    def test_it_is_jittable_and_keeps_shapes_and_types(self):
        images, masks = self.rectangle(3)
        config = AugmentConfig(crop=2, flip=True, cutout=3, scale=0.25)
        moved, found = jax.jit(augment_with_masks, static_argnums=3)(images, masks, jax.random.key(0), config)
        assert (moved.shape, moved.dtype) == (images.shape, jnp.uint8)
        assert (found.shape, found.dtype) == (masks.shape, jnp.uint8)
