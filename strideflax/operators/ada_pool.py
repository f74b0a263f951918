"""AdaPool: a mean of the pixels that are like their window's mean, mixed with SoftPool."""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from strideflax.kernels import window_pixels
from strideflax.operators.base import Downsample
from strideflax.operators.geometry import Padding, PerAxis
from strideflax.operators.norm import power_of_two_scale
from strideflax.operators.pool import pool_window
from strideflax.operators.receptive_field import WindowPass
from strideflax.operators.weighted import without_infinities
from strideflax.window import Window


def ada_pool(
    x: Array,
    window: PerAxis,
    share: float | Array,
    *,
    stride: PerAxis | None = None,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
) -> Array:
    """Mix two weighted means of each window, per channel: ``share * similar + (1 - share) * soft``.

    ``similar`` weighs pixel ``x`` by ``exp(d)``, ``d = 2 x m / (x^2 + m^2)`` its Dice coefficient with the window's mean
    ``m``: 1 where the two are equal, 0 where one of them is 0, -1 where they are opposite. ``soft`` is
    `strideflax.soft_pool`, which weighs it by ``exp(x)``.

    Args:
        x, window, stride, padding, dilation: as in `strideflax.soft_pool`; zero padding has no weight.
        share: in [0, 1], a scalar, or an array that broadcasts to the result: ``[channels]`` for one per channel,
            ``[*output_size, 1]`` for one per region.

    Returns:
        ``[batch, *output_size, channels]``; weights are computed in float32 or better.

    Raises:
        ValueError: a share of another shape, or as `strideflax.max_pool`.
    """
    x, share = jnp.asarray(x), jnp.asarray(share)
    described = pool_window(x, window, stride, padding, dilation)
    result = (x.shape[0], *described.output_size(x.shape[1:-1]), x.shape[-1])
    trailing = result[len(result) - share.ndim :]
    if share.ndim > x.ndim or any(n not in (1, m) for n, m in zip(share.shape, trailing, strict=True)):
        raise ValueError(f"share must broadcast to the result's shape {result}, got shape {share.shape}")
    return _mixture(x, share, described)


@partial(jax.jit, static_argnames="window")
def _mixture(x: Array, share: Array, window: Window) -> Array:
    pixels, real = window_pixels(without_infinities(x), window)
    similar = (_weights(_dice(pixels, real), real) * pixels).sum(axis=-2)
    soft = (_weights(pixels, real) * pixels).sum(axis=-2)
    share = jnp.broadcast_to(share.astype(soft.dtype), soft.shape)
    return (share * similar + (1 - share) * soft).astype(jnp.result_type(x.dtype, float))


def _weights(logits: Array, real: np.ndarray) -> Array:
    return jax.nn.softmax(jnp.where(real, logits, -jnp.inf), axis=-2)


def _dice(pixels: Array, real: np.ndarray) -> Array:
    """Return the Dice coefficient of each pixel with the mean of the real ones in its window; 0 beside a mean of 0."""
    largest = lax.stop_gradient(
        jnp.abs(pixels).max(axis=-2, keepdims=True)
    )  # the coefficient does not depend on the scale
    step = power_of_two_scale(largest)
    scale = jnp.where(largest > 0, largest * step, 1)
    pixels = pixels * step / scale
    mean = pixels.sum(axis=-2, keepdims=True) / real.sum(axis=-2, keepdims=True).astype(pixels.dtype)
    squares = pixels**2 + mean**2
    return 2 * pixels * mean / jnp.where(squares > 0, squares, 1)


class AdaPool(Downsample):
    """Learned mixture of two weighted means over a window, by default as large as the stride, one share per channel.

    ``y[i] = b sum_t x[t] exp(d[t]) / sum_t exp(d[t]) + (1 - b) sum_t x[t] exp(x[t]) / sum_t exp(x[t])`` with the Dice
    coefficient ``d[t] = 2 x[t] m / (x[t]^2 + m^2)`` of a pixel and its window's mean ``m``: in the first mean the pixels
    near ``m`` weigh most, zeros less and opposite signs least; the second is `SoftPool`. The layer learns the logit of
    ``b``, which keeps it between 0 and 1, from 1/2 on. Stergiou and Poppe learn a share per region, and so have to know the
    map's size; `ada_pool` takes that too. A constant stays; zero padding has no weight. Phase: the window's centre, as
    `MaxPool`. Costs two multiply-adds per tap (exponentials not counted). Source: Stergiou and Poppe 2021
    (arXiv:2111.00772), "adaPool", whose code also turns negative results into 0.

    When it helps: where SoftPool does, with less weight for the zeros beside a response.
    """

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create the logits of the shares."""
        self.logit = nnx.Param(jnp.zeros(self.in_features))

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to the mixture of its windows' means."""
        share = jax.nn.sigmoid(self.logit[...])
        return _mixture(x, share, self._window_on(x.shape[1:-1]).at_stride(stride))

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return its one pass: a multiply-add per tap for each of the two means."""
        taps = 2 * math.prod(self.window)
        return (WindowPass(window=self._window_on(map_size), features=self.in_features, taps=taps),)
