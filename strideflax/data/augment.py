"""Random crop, mirror and cutout of training images, and normalisation: pure functions, made for the jitted step."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from strideflax.config import AugmentConfig


def augment(images: Array, key: Array, config: AugmentConfig, mirrored: Array | None = None) -> Array:
    """Change each image at random, independently of the others. What is switched off costs nothing.

    Each change draws from a stream of its own, so that switching one off leaves the others as they are.

    Args:
        images: uint8 ``[batch, height, width, channels]``.
        key: one key for the batch.
        config: what to do; see `crop`, `flip` and `cutout`.
        mirrored: bool ``[batch]``, which images a flip mirrors; None draws half of them.

    Returns:
        uint8 of the same shape.
    """
    if config.crop:
        images = crop(images, jax.random.fold_in(key, 0), config.crop, config.crop_padding)
    if config.flip and mirrored is not None:
        images = mirror(images, mirrored)
    elif config.flip:
        images = flip(images, jax.random.fold_in(key, 1))
    if config.cutout:
        images = cutout(images, jax.random.fold_in(key, 2), config.cutout)
    return images


def crop(images: Array, key: Array, pad: int, padding: str = "zeros") -> Array:
    """Pad each image with ``pad`` pixels, then cut out its own size at one of the (2 pad + 1)^2 places.

    ``padding`` is "zeros", or "reflect": the image mirrored at its border pixels, which are not repeated.
    """
    batch, *size = images.shape
    mode = {"zeros": "constant", "reflect": "reflect"}[padding]
    padded = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode=mode)
    corners = jax.random.randint(key, (batch, 2), 0, 2 * pad + 1)

    def cut(image: Array, corner: Array) -> Array:
        return jax.lax.dynamic_slice(image, (*corner, 0), size)

    return jax.vmap(cut)(padded, corners)


def flip(images: Array, key: Array) -> Array:
    """Mirror each image left-right with probability 1/2."""
    mirrored = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
    return jnp.where(mirrored, images[:, :, ::-1], images)


def mirror(images: Array, mirrored: Array) -> Array:
    """Mirror those images left-right that are ``mirrored``, bool ``[batch]``."""
    return jnp.where(mirrored[:, None, None, None], images[:, :, ::-1], images)


def alternating_flips(key: Array, places: Array, epoch: Array) -> Array:
    """Return which images of the training set are mirrored in ``epoch``, bool of the shape of ``places``.

    A coin for each image says whether it is mirrored in the even epochs or in the odd ones. Source: Jordan 2024
    (arXiv:2404.00498), alternating flip.

    Args:
        key: one key for the run.
        places: int, the images' places in the training set, in whatever order they come.
        epoch: int, from 0.
    """
    coins = jax.vmap(lambda place: jax.random.bernoulli(jax.random.fold_in(key, place)))(places)
    return coins ^ (epoch % 2 == 1)


def cutout(images: Array, key: Array, side: int) -> Array:
    """Set a square of ``side`` pixels to the image's mean colour (DeVries and Taylor 2017).

    The square's centre may be any pixel, so a part of it may lie outside, where it is clipped.
    """
    batch, height, width, _ = images.shape
    corner = jax.random.randint(key, (batch, 2), 0, jnp.array([[height, width]])) - side // 2

    def covered(axis: int, size: int) -> Array:
        distance = jnp.arange(size)[None, :] - corner[:, axis, None]
        return (distance >= 0) & (distance < side)

    square = covered(0, height)[:, :, None, None] & covered(1, width)[:, None, :, None]
    mean = jnp.round(images.mean((1, 2), keepdims=True, dtype=jnp.float32)).astype(images.dtype)
    return jnp.where(square, mean, images)


def normalize(images: Array, mean: tuple[float, ...], std: tuple[float, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """Return ``(images / 255 - mean) / std`` per channel, computed in float32.

    Args:
        images: uint8 ``[batch, height, width, channels]``.
        mean, std: of the training images' pixels / 255, one number per channel.
        dtype: of the result.

    Raises:
        ValueError: images of another type, or with another number of channels than ``mean`` has.
    """
    if images.ndim != 4 or images.dtype != jnp.uint8 or images.shape[-1] != len(mean):
        raise ValueError(
            f"images must be uint8 [batch, height, width, {len(mean)}], got {images.dtype} {list(images.shape)}"
        )
    centre = 255.0 * jnp.array(mean, jnp.float32).reshape(1, 1, 1, -1)
    scale = 255.0 * jnp.array(std, jnp.float32).reshape(1, 1, 1, -1)
    return ((images.astype(jnp.float32) - centre) / scale).astype(dtype)
