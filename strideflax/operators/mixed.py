"""Between the maximum and the average: their sum, a learned mixture, and a gate that looks at each window."""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from strideflax.kernels import window_pixels
from strideflax.operators.base import Downsample
from strideflax.operators.geometry import Padding, PerAxis
from strideflax.operators.pool import max_over, mean_over, pool_window
from strideflax.operators.receptive_field import WindowPass
from strideflax.window import Window


def max_avg_pool(
    x: Array, window: PerAxis, *, stride: PerAxis | None = None, padding: Padding = "VALID", dilation: PerAxis = 1
) -> Array:
    """Add the maximum and the mean of each window, both over its real pixels alone.

    Args:
        x, window, stride, padding, dilation: as in `strideflax.avg_pool`; zero padding is neither a candidate nor counted.

    Returns:
        ``[batch, *output_size, channels]``; means are taken in float32 or better.

    Raises:
        ValueError: as `strideflax.max_pool`.
    """
    x = jnp.asarray(x)
    return _max_avg(x, pool_window(x, window, stride, padding, dilation))


def mixed_pool(
    x: Array,
    window: PerAxis,
    share: float | Array,
    *,
    stride: PerAxis | None = None,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
) -> Array:
    """Mix the maximum and the mean of each window, ``share * max + (1 - share) * mean``.

    Args:
        x, window, stride, padding, dilation: as in `max_avg_pool`.
        share: the maximum's share, a scalar in [0, 1]; it may be traced and learned.

    Returns:
        ``[batch, *output_size, channels]``.

    Raises:
        ValueError: a ``share`` that is no scalar, or as `strideflax.max_pool`.
    """
    if jnp.ndim(share):
        raise ValueError(f"share must be a scalar, got shape {jnp.shape(share)}; for one per window see gated_pool")
    x = jnp.asarray(x)
    return _mixed(x, pool_window(x, window, stride, padding, dilation), share)


def gated_pool(
    x: Array,
    window: PerAxis,
    mask: Array,
    *,
    stride: PerAxis | None = None,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
) -> Array:
    """Mix the maximum and the mean of each window by a gate on its content.

    ``a * max + (1 - a) * mean`` with ``a = sigmoid(sum_t mask[t] x[t])``, for every window of every channel its own
    ``a``.

    Args:
        x, window, stride, padding, dilation: as in `max_avg_pool`; zero padding adds nothing to the gate.
        mask: ``[*window]``, shared by all channels; zeros give ``a = 1/2`` everywhere.

    Returns:
        ``[batch, *output_size, channels]``.

    Raises:
        ValueError: a ``mask`` that is not as large as the window, or as `strideflax.max_pool`.
    """
    x, mask = jnp.asarray(x), jnp.asarray(mask)
    described = pool_window(x, window, stride, padding, dilation)
    if mask.shape != described.size:
        raise ValueError(f"mask must be as large as the window, shape {described.size}, got shape {mask.shape}")
    return _gated(x, described, mask)


def _max_and_mean(x: Array, window: Window) -> tuple[Array, Array]:
    """Return each window's maximum and mean, computed in float32 or better."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return max_over(x, window), mean_over(x, window)


def _max_avg(x: Array, window: Window) -> Array:
    strongest, mean = _max_and_mean(x, window)
    return (strongest + mean).astype(jnp.result_type(x, float))


def _mixed(x: Array, window: Window, share: float | Array) -> Array:
    strongest, mean = _max_and_mean(x, window)
    return (share * strongest + (1 - share) * mean).astype(jnp.result_type(x, float))


def _gated(x: Array, window: Window, mask: Array) -> Array:
    strongest, mean = _max_and_mean(x, window)
    gate = _gate(x, mask, window)
    return (gate * strongest + (1 - gate) * mean).astype(jnp.result_type(x, float))


@partial(jax.jit, static_argnames="window")
def _gate(x: Array, mask: Array, window: Window) -> Array:
    pixels, _ = window_pixels(x, window)
    weights = mask.astype(pixels.dtype).reshape(*(1,) * (pixels.ndim - 2), -1, 1)
    return jax.nn.sigmoid((pixels * weights).sum(axis=-2))


class MaxAvg(Downsample):
    """Sum of the maximum and the mean over a window, by default as large as the stride.

    ``y[i] = max_t x[s i + t - pad_low] + mean_t x[s i + t - pad_low]``; a constant map doubles. Phase: the window's
    centre, as `MaxPool`. Costs a compare and an add per tap. Source: Mishkin et al. 2017 (arXiv:1606.02228), who
    measured it above either alone.

    When it helps: where both the strongest and the mean response matter, for one more pass.
    """

    reads = 2  # of each window's taps, the maximum's among them
    constant_gain = 2.0

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its windows' maximum plus mean."""
        return _max_avg(x, self._window_on(x.shape[1:-1]).at_stride(stride))

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return the maximum's pass, and a 1 x 1 pass that stands for the other sums over the same window."""
        maximum = WindowPass(window=self._window_on(map_size), features=self.in_features)
        more = (self.reads - 1) * math.prod(self.window)
        one = Window.dense((1,) * len(self.stride))
        return maximum, WindowPass(window=one, fan_in=more, features=self.in_features)


class MixedPool(MaxAvg):
    """Learned mixture of the maximum and the mean over a window, by default as large as the stride.

    ``y[i] = a max_t x[s i + t - pad_low] + (1 - a) mean_t x[s i + t - pad_low]`` with one ``a`` for the layer. It
    learns the logit of ``a``, which keeps ``a`` between 0 and 1, from ``a = 1/2`` on. Phase and cost as `MaxAvg`; a
    constant stays. Source: Lee, Gallagher and Tu 2016 (arXiv:1509.08985), "mixed".

    When it helps: as `MaxAvg`, with the share learned, one number per layer.
    """

    constant_gain = 1.0

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create the logit of the maximum's share."""
        self.logit = nnx.Param(jnp.zeros(()))

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to the mixture of its windows' maximum and mean."""
        share = jax.nn.sigmoid(self.logit[...])
        return _mixed(x, self._window_on(x.shape[1:-1]).at_stride(stride), share)


class GatedPool(MaxAvg):
    """Mixture of the maximum and the mean over a window (as large as the stride), gated by the window's content.

    ``y[i] = a[i] max_t x[..] + (1 - a[i]) mean_t x[..]`` with ``a[i] = sigmoid(sum_t w[t] x[s i + t - pad_low])``,
    for every channel its own ``a`` from the one learned mask ``w`` of the layer, which starts at zero (``a = 1/2``).
    Zero padding adds nothing to the gate. A constant stays. Phase as `MaxPool`. Costs a compare, an add and a
    multiply-add per tap. Source: Lee, Gallagher and Tu 2016 (arXiv:1509.08985), "gated".

    When it helps: where the content should decide between maximum and mean, with one mask learned per layer.
    """

    reads = 3
    constant_gain = 1.0

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create the mask, as large as the window."""
        self.mask = nnx.Param(jnp.zeros(self.window))

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to the gated mixture of its windows' maximum and mean."""
        return _gated(x, self._window_on(x.shape[1:-1]).at_stride(stride), self.mask[...])
