"""Weighted averages over windows whose weights come from the image: SoftPool, stochastic pooling, LIP."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from strideflax.kernels import window_pixels
from strideflax.operators.base import Downsample, Stochastic
from strideflax.operators.geometry import Padding, PerAxis
from strideflax.operators.norm import power_of_two_scale
from strideflax.operators.pool import pool_window
from strideflax.operators.receptive_field import WindowPass
from strideflax.operators.strided import StridedConv
from strideflax.window import Window


def soft_pool(
    x: Array, window: PerAxis, *, stride: PerAxis | None = None, padding: Padding = "VALID", dilation: PerAxis = 1
) -> Array:
    """Average each window with weights that are the softmax of its values, per channel.

    ``sum_t x[t] exp(x[t]) / sum_t exp(x[t])``, computed from ``x[t] - max x``, so that no exponential overflows.
    An infinite value counts as the largest finite number of its sign, so a pixel of minus infinity has no weight beside others.

    Args:
        x, window, stride, padding, dilation: as in `strideflax.max_pool`; zero padding has no weight.

    Returns:
        ``[batch, *output_size, channels]``; weights are computed in float32 or better.

    Raises:
        ValueError: as `strideflax.max_pool`.
    """
    x = jnp.asarray(x)
    described = pool_window(x, window, stride, padding, dilation)
    return _importance(x, None, described)


def local_importance_pool(
    x: Array,
    logits: Array,
    window: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
) -> Array:
    """Average each window with weights ``exp(logits)``: ``sum_t x[t] exp(g[t]) / sum_t exp(g[t])``, per channel.

    Equal logits give the average, ``logits = x`` SoftPool, ``logits = c x`` with a large ``c`` the maximum. An infinite value
    or logit counts as the largest finite number of its sign.

    Args:
        x, window, stride, padding, dilation: as in `soft_pool`.
        logits: the importance of each pixel, of the shape of ``x``; padded as ``x`` is.

    Returns:
        ``[batch, *output_size, channels]`` in the type of ``x``.

    Raises:
        ValueError: logits of another shape than ``x``, or as `strideflax.max_pool`.
    """
    x = jnp.asarray(x)
    described = pool_window(x, window, stride, padding, dilation)
    logits = jnp.asarray(logits)
    if logits.shape != x.shape:
        raise ValueError(f"logits must have the shape of x, {x.shape}, got {logits.shape}")
    return _importance(x, logits, described)


def stochastic_pool(
    x: Array,
    window: PerAxis,
    *,
    key: Array | None = None,
    stride: PerAxis | None = None,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
) -> Array:
    """Pick a pixel of each window at random, pixel ``i`` with probability ``p[i] = x[i] / sum x``, or the mean pick.

    Negative values count as 0. A window without a positive value gives 0, with gradient 0. The gradient of a pick
    flows to the picked pixel alone, as for the maximum; that of the mean pick through its weights too.

    Args:
        x, window, stride, padding, dilation: as in `soft_pool`; zero padding is never picked.
        key: randomness to pick with (training); None returns the expectation ``sum_i p[i] x[i]`` (evaluation).

    Returns:
        ``[batch, *output_size, channels]``.

    Raises:
        ValueError: as `strideflax.max_pool`.
    """
    x = jnp.asarray(x)
    described = pool_window(x, window, stride, padding, dilation)
    return _stochastic(x, key, described)


@partial(jax.jit, static_argnames="window")
def _importance(x: Array, logits: Array | None, window: Window) -> Array:
    # A softmax of infinite logits is NaN, and so is an infinite pixel without weight; the largest finite numbers have a limit.
    pixels, real = window_pixels(without_infinities(x), window)
    importance = pixels if logits is None else window_pixels(without_infinities(logits), window)[0]
    weights = jax.nn.softmax(jnp.where(real, importance, -jnp.inf), axis=-2)  # subtracts the window's largest logit
    return (weights * pixels).sum(axis=-2).astype(jnp.result_type(x.dtype, float))


def without_infinities(x: Array) -> Array:
    """Return ``x`` with the largest and smallest finite number in place of infinities."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return x
    largest = jnp.finfo(x.dtype).max
    return jnp.where(jnp.isinf(x), jnp.where(x > 0, largest, -largest).astype(x.dtype), x)


def _weighted_mean(weights: Array, pixels: Array) -> Array:
    """Return ``sum_t weights[t] pixels[t]`` over the taps axis (-2); an infinite pixel without weight adds nothing."""
    return (weights * jnp.where(weights == 0, 0, pixels)).sum(axis=-2)


@partial(jax.jit, static_argnames="window")
def _stochastic(x: Array, key: Array | None, window: Window) -> Array:
    pixels, _ = window_pixels(jax.nn.relu(x), window)
    if key is None:
        shares = pixels * power_of_two_scale(pixels.max(axis=-2, keepdims=True))  # so that their sum does not overflow
        total = shares.sum(axis=-2, keepdims=True)
        weights = shares / jnp.where(total > 0, total, 1)
    else:  # logarithms are logits: log p = log x - log sum x; that of 0 is never drawn beside a positive one
        picked = jax.random.categorical(key, jnp.log(jax.lax.stop_gradient(pixels)), axis=-2)
        weights = jax.nn.one_hot(picked, pixels.shape[-2], axis=-2, dtype=pixels.dtype)
    return _weighted_mean(weights, pixels).astype(jnp.result_type(x.dtype, float))


class SoftPool(Downsample):
    """Average over a window, by default as large as the stride, weighted by the softmax of its values, per channel.

    ``y[i] = sum_t x[t] exp(x[t]) / sum_t exp(x[t])`` over the taps of window i: between average and maximum, and
    every pixel gets a gradient. A constant stays; adding c to a map adds c to the result. Zero padding has no weight.
    Phase: the window's centre, as `MaxPool`. Costs a multiply-add per tap (exponentials not counted). Source:
    Stergiou, Poppe and Kalliatakis 2021 (arXiv:2101.00440).

    When it helps: where a maximum is too hard; it keeps the emphasis on strong responses.
    """

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its windows' softmax-weighted means."""
        return _importance(x, None, self._window_on(x.shape[1:-1]).at_stride(stride))


class StochasticPool(Stochastic):
    """A pixel picked at random from each window (as large as the stride) in training, its expectation in evaluation.

    Training: pixel i with probability ``p[i] = x[i] / sum x``, for every window of every channel its own draw.
    Evaluation (also `dense` and `_at_stride`): ``sum_i p[i] x[i]``, which is no plain average. Negative values count
    as 0, so it stands after a ReLU; a window of zeros gives 0; a positive constant stays. Phase: the window's centre,
    as `MaxPool`; one pick is off by up to half a window. Costs a multiply-add per tap (random bits not counted).
    Source: Zeiler and Fergus 2013 (arXiv:1301.3557).

    When it helps: as a regulariser.
    """

    signed = False

    def __call__(
        self, x: Array, *, train: bool | None = None, key: Array | None = None, index: Array | None = None
    ) -> Array:
        """Pick from ``x`` in training, else return the expectation.

        Raises:
            ValueError: training without a key or a stream, or an input of another shape.
        """
        x = self._checked(x)
        return _stochastic(x, self._key(train, key), self._window_on(x.shape[1:-1]))

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its windows' expected picks."""
        return _stochastic(x, None, self._window_on(x.shape[1:-1]).at_stride(stride))


class LIP(Downsample):
    """Average over a window (as large as the stride), weighted by exponentials of learned logits.

    The logits are the paper's "projection" form, ``g = 12 sigmoid(scale * normalised(conv1x1(x)) + offset)``, at full
    resolution: a 1 x 1 convolution over all channels without bias, normalised to mean 0 and variance 1 per image and
    channel (instance norm, with 1e-5 under the root), an affine map per channel, and a sigmoid amplified by 12. Scale
    and offset start at 0, so the layer starts as the average pool. A constant stays; zero padding has no weight.

    Phase: the window's centre, as `MaxPool`. The receptive field counts the window alone; strictly, the
    normalisation's mean and variance see the whole map. Costs the 1 x 1 convolution at full resolution and a
    multiply-add per tap (normalisation and exponentials not counted). Source: Gao, Wang and Wu 2019
    (arXiv:1908.04156).

    When it helps: for small objects that an average drowns.
    """

    amplification = 12.0

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create the logits' convolution, scale and offset."""
        ones = (1,) * len(self.stride)
        self.conv = StridedConv(self.in_features, stride=ones, window=ones, padding=self.padding, rngs=rngs)
        self.scale = nnx.Param(jnp.zeros(self.in_features))
        self.offset = nnx.Param(jnp.zeros(self.in_features))

    def logits(self, x: Array) -> Array:
        """Return each pixel's importance, ``[batch, *spatial, channels]`` in 0..12, float32 or better."""
        g = self.conv(x)
        g = g.astype(jnp.promote_types(g.dtype, jnp.float32))
        spatial = tuple(range(1, g.ndim - 1))
        g = (g - g.mean(spatial, keepdims=True)) * jax.lax.rsqrt(g.var(spatial, keepdims=True) + 1e-5)
        per_channel = (1,) * (g.ndim - 1) + (-1,)
        scale, offset = self.scale[...].reshape(per_channel), self.offset[...].reshape(per_channel)
        return self.amplification * jax.nn.sigmoid(scale * g + offset)

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its windows' means by importance."""
        return _importance(x, self.logits(x), self._window_on(x.shape[1:-1]).at_stride(stride))

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return the logits' 1 x 1 pass at full resolution and the window's."""
        return *self.conv.passes(map_size), *super().passes(map_size)
