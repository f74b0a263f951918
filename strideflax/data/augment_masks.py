"""Random scale, crop, mirror and cutout of images together with the classes of their pixels, made for the jitted step."""

from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import Array

from strideflax.config import AugmentConfig
from strideflax.data.augment import augment, cutout
from strideflax.data.dataset import VOID


def augment_with_masks(
    images: Array, masks: Array, key: Array, config: AugmentConfig, mirrored: Array | None = None
) -> tuple[Array, Array]:
    """Change each image at random as `strideflax.data.augment.augment` does, and its mask with it.

    Pixels that come in from outside are black in the image and `VOID` in the mask; reflected ones are those of both. A cutout
    hides what it covers in the image alone: the net is to guess it.

    Args:
        images: uint8 ``[batch, height, width, channels]``.
        masks: uint8 ``[batch, height, width]``.
        key: one key for the batch.
        config: what to do.
        mirrored: bool ``[batch]``, which images a flip mirrors; None draws half of them.

    Returns:
        images and masks of the same shapes and type.
    """
    if config.scale:
        images, masks = scale(images, masks, jax.random.fold_in(key, 3), config.scale)
    # As one more channel, in which VOID is 0, what a crop adds, the mask goes wherever the image goes.
    pairs = jnp.concatenate([images, VOID - masks[..., None]], -1)
    pairs = augment(pairs, key, replace(config, cutout=0), mirrored)
    images, masks = pairs[..., :-1], VOID - pairs[..., -1]
    if config.cutout:
        images = cutout(images, jax.random.fold_in(key, 2), config.cutout)
    return images, masks


def scale(images: Array, masks: Array, key: Array, limit: float) -> tuple[Array, Array]:
    """Enlarge or shrink about the middle by ``(1 + limit) ** u``, u uniform in -1..1 for each image; the size stays.

    Images are interpolated linearly, antialiased where they shrink; a pixel of the mask is the one that its centre falls on.
    """
    batch, height, width, _ = images.shape
    factors = (1 + limit) ** jax.random.uniform(key, (batch,), minval=-1.0, maxval=1.0)
    moved = jax.vmap(_scale_image)(images, factors)
    rows, columns = _source_pixels(height, factors), _source_pixels(width, factors)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    rows, columns = jnp.clip(rows, 0, height - 1), jnp.clip(columns, 0, width - 1)
    found = jax.vmap(lambda mask, row, column: mask[row[:, None], column[None, :]])(masks, rows, columns)
    return moved, jnp.where(inside, found, jnp.uint8(VOID))


def _scale_image(image: Array, factor: Array) -> Array:
    factors = jnp.stack([factor, factor])
    translation = jnp.array(image.shape[:2]) / 2 * (1 - factors)
    moved = jax.image.scale_and_translate(
        image.astype(jnp.float32), image.shape, (0, 1), factors, translation, "linear", antialias=True
    )
    return jnp.round(moved).astype(jnp.uint8)


def _source_pixels(size: int, factors: Array) -> Array:
    """Return the pixel that the centre of each scaled one falls on, int ``[batch, size]``; it may lie outside."""
    offset = jnp.arange(size) + 0.5 - size / 2
    return jnp.floor(offset[None, :] / factors[:, None] + size / 2).astype(jnp.int32)
