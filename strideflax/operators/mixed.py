"""Between the maximum and the average: their sum, a learned mixture, and a gate that looks at each window."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from strideflax.operators.base import Downsample
from strideflax.operators.geometry import Padding, Pads, Stage
from strideflax.operators.pool import avg_pool, max_pool, resolve_window, taps


def max_avg_pool(
    x: Array,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
    dilation: int | Sequence[int] = 1,
) -> Array:
    """Add the maximum and the mean of each window, both over its real pixels alone.

    Args:
        x: ``[batch, *spatial, channels]``, floating point, one to three spatial axes.
        window: size of the window, an int or one per axis.
        stride: step between windows; the window's size if None.
        padding: as in `strideflax.conv`; zero padding is neither a candidate nor counted.
        dilation: distance between taps.

    Returns:
        ``[batch, *output_size, channels]``; means are taken in float32 or better.

    Raises:
        ValueError: as `strideflax.max_pool`.
    """
    strongest, mean = _both(x, window, stride, padding, dilation)
    return (strongest + mean).astype(jnp.result_type(x, float))


def mixed_pool(
    x: Array,
    window: int | Sequence[int],
    share: float | Array,
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
    dilation: int | Sequence[int] = 1,
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
    strongest, mean = _both(x, window, stride, padding, dilation)
    return (share * strongest + (1 - share) * mean).astype(jnp.result_type(x, float))


def gated_pool(
    x: Array,
    window: int | Sequence[int],
    mask: Array,
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
    dilation: int | Sequence[int] = 1,
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
    strongest, mean = _both(x, window, stride, padding, dilation)
    x, windows, *geometry = resolve_window(x, window, stride, padding, dilation)
    if jnp.shape(mask) != windows:
        raise ValueError(f"mask must be as large as the window, shape {windows}, got shape {jnp.shape(mask)}")
    gate = _gate(x, jnp.asarray(mask), windows, *geometry)
    return (gate * strongest + (1 - gate) * mean).astype(jnp.result_type(x, float))


def _both(
    x: Array,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: Padding,
    dilation: int | Sequence[int],
) -> tuple[Array, Array]:
    """Return each window's maximum and mean, computed in float32 or better."""
    x = jnp.asarray(x, jnp.promote_types(jnp.result_type(x), jnp.float32))
    return (
        max_pool(x, window, stride=stride, padding=padding, dilation=dilation),
        avg_pool(x, window, stride=stride, padding=padding, dilation=dilation),
    )


@partial(jax.jit, static_argnums=range(2, 7))
def _gate(
    x: Array,
    mask: Array,
    window: tuple[int, ...],
    stride: tuple[int, ...],
    pads: Pads,
    border: str,
    dilation: tuple[int, ...],
) -> Array:
    pixels, _ = taps(x, window, stride, pads, border, dilation)
    weights = mask.astype(pixels.dtype).reshape(*(1,) * (pixels.ndim - 2), -1, 1)
    return jax.nn.sigmoid((pixels * weights).sum(axis=-2))


class MaxAvg(Downsample):
    """Sum of the maximum and the mean over a window, by default as large as the stride.

    ``y[i] = max_t x[s i + t - pad_low] + mean_t x[s i + t - pad_low]``; a constant map doubles. Phase: the window's
    centre, as `MaxPool`. Costs a compare and an add per tap. Source: Mishkin et al. 2017 (arXiv:1606.02228), who
    measured it above either alone.
    """

    passes = 2  # over the taps of each window, the maximum's among them

    def at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, height, width, channels]`` to its windows' maximum plus mean."""
        return max_avg_pool(x, self.window, stride=stride, padding=self.rule(x.shape[1:3]))

    def stages(self, size: Sequence[int]) -> tuple[Stage, ...]:
        """Return the maximum's step, and a 1 x 1 step that stands for the other sums over the same window."""
        maximum = self.stage(size, self.window, self.stride)
        more = (self.passes - 1) * self.window[0] * self.window[1]
        beside = Stage(window=(1, 1), stride=(1, 1), pads=((0, 0), (0, 0)), fan_in=more, features=self.in_features)
        return maximum, beside


class MixedPool(MaxAvg):
    """Learned mixture of the maximum and the mean over a window, by default as large as the stride.

    ``y[i] = a max_t x[s i + t - pad_low] + (1 - a) mean_t x[s i + t - pad_low]`` with one ``a`` for the layer. It
    learns the logit of ``a``, which keeps ``a`` between 0 and 1, from ``a = 1/2`` on. Phase and cost as `MaxAvg`; a
    constant stays. Source: Lee, Gallagher and Tu 2016 (arXiv:1509.08985), "mixed".
    """

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        stride: int | Sequence[int] = 2,
        window: int | Sequence[int] | None = None,
        padding: str = "SYMMETRIC",
        rngs: nnx.Rngs | None = None,
    ):
        super().__init__(in_features, out_features, stride=stride, window=window, padding=padding)
        self.logit = nnx.Param(jnp.zeros(()))

    def at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, height, width, channels]`` to the mixture of its windows' maximum and mean."""
        share = jax.nn.sigmoid(self.logit[...])
        return mixed_pool(x, self.window, share, stride=stride, padding=self.rule(x.shape[1:3]))


class GatedPool(MaxAvg):
    """Mixture of the maximum and the mean over a window (as large as the stride), gated by the window's content.

    ``y[i] = a[i] max_t x[..] + (1 - a[i]) mean_t x[..]`` with ``a[i] = sigmoid(sum_t w[t] x[s i + t - pad_low])``,
    for every channel its own ``a`` from the one learned mask ``w`` of the layer, which starts at zero (``a = 1/2``).
    Zero padding adds nothing to the gate. A constant stays. Phase as `MaxPool`. Costs a compare, an add and a
    multiply-add per tap. Source: Lee, Gallagher and Tu 2016 (arXiv:1509.08985), "gated".
    """

    passes = 3

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        stride: int | Sequence[int] = 2,
        window: int | Sequence[int] | None = None,
        padding: str = "SYMMETRIC",
        rngs: nnx.Rngs | None = None,
    ):
        super().__init__(in_features, out_features, stride=stride, window=window, padding=padding)
        self.mask = nnx.Param(jnp.zeros(self.window))

    def at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, height, width, channels]`` to the gated mixture of its windows' maximum and mean."""
        return gated_pool(x, self.window, self.mask[...], stride=stride, padding=self.rule(x.shape[1:3]))
