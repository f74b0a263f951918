"""Low-pass filters before subsampling: BlurPool and the antialiased max pool."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from strideflax.kernels.windows import Windows, weighted_sum
from strideflax.operators.base import Downsample
from strideflax.operators.border import frame, spatial_axes
from strideflax.operators.geometry import BORDERS, Padding, Stage, explicit_pads, padded_output_size, per_axis
from strideflax.operators.pool import max_pool


def binomial_filter(taps: int) -> np.ndarray:
    """Return ``binomial(taps - 1, i) / 2^(taps - 1)``, float64: 2 taps [1 1]/2, 3 [1 2 1]/4, 4 [1 3 3 1]/8, and so on."""
    per_axis(taps, 1, "taps")
    return np.array([math.comb(taps - 1, i) for i in range(taps)]) / 2.0 ** (taps - 1)


def blur_pool(
    x: Array,
    taps: int | Sequence[int] = 3,
    *,
    stride: int | Sequence[int] = 2,
    padding: Padding = "REFLECT",
) -> Array:
    """Filter each channel with the outer product of binomial filters, then keep every ``stride``-th pixel.

    Args:
        x: ``[batch, *spatial, channels]``, floating point, one to three spatial axes.
        taps: filter length, an int or one per axis; 1 is no filter.
        stride: an int or one per axis.
        padding: as in `strideflax.conv`; zeros darken the border, ``"REFLECT"`` and ``"CIRCULAR"`` keep a constant image.

    Returns:
        ``[batch, *output_size, channels]``.

    Raises:
        ValueError: arguments that do not fit, or a map too small for its border.
    """
    x = jnp.asarray(x)
    axes = spatial_axes(x)
    windows, strides = per_axis(taps, axes, "taps"), per_axis(stride, axes, "stride")
    return separable_filter(x, [binomial_filter(k) for k in windows], strides, padding)


def separable_filter(x: Array, filters: Sequence[np.ndarray], stride: Sequence[int], padding: Padding) -> Array:
    """Correlate each channel with the outer product of ``filters`` (one per axis) at every ``stride``-th position."""
    windows, size = [len(f) for f in filters], x.shape[1:-1]
    ones = (1,) * len(size)
    pads = explicit_pads(padding, size, windows, stride, ones)
    padded_output_size(size, windows, stride, pads, ones)
    dtype = jnp.result_type(x.dtype, float)
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))  # a sum in bfloat16 would round at every tap
    x, pads = frame(x, pads, BORDERS.get(padding, "zeros") if isinstance(padding, str) else "zeros")
    lying = Windows(x.shape[1:-1], tuple(windows), tuple(stride), ones, pads)
    x = weighted_sum(x, windows=lying, weights=tuple(tuple(map(float, f)) for f in filters))
    return x.astype(dtype)


class BlurPool(Downsample):
    """A binomial low-pass of ``window`` taps (3 by default), then every ``stride``-th pixel.

    ``y[i] = sum_t b[t] x[s i + t - pad_low]`` with ``b`` the row of Pascal's triangle over its sum. Aliases less the more
    taps it has, and blurs more. It belongs after the nonlinearity. Phase 0 for odd lengths, half a pixel for even ones.
    ``REFLECT`` and ``CIRCULAR`` borders keep a constant image; zeros darken its rim.
    Source: Zhang 2019 (arXiv:1904.11486).
    """

    default_window = 3

    def at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, height, width, channels]`` to its blurred, subsampled self."""
        return blur_pool(x, self.window, stride=stride, padding=self.rule(x.shape[1:3]))

    def stages(self, size: Sequence[int]) -> tuple[Stage, ...]:
        """Return its one step, separable."""
        return (self.stage(size, self.window, self.stride, separable=True),)


class MaxBlur(BlurPool):
    """A dense maximum over windows as large as the stride, then `BlurPool`: the antialiased max pool.

    Max pooling is a dense maximum and a subsampling; the blur goes between. Phase: the maximum's plus the filter's, half a
    pixel at stride 2 with 3 taps. Source: Zhang 2019 (arXiv:1904.11486).
    """

    def at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, height, width, channels]`` to its blurred, subsampled local maxima."""
        size = x.shape[1:3]
        strongest = max_pool(x, self.stride, stride=1, padding=self._dense_rule(size))
        return super().at_stride(strongest, stride)

    def stages(self, size: Sequence[int]) -> tuple[Stage, ...]:
        """Return the maximum's step at stride 1 and the blur's."""
        dense = Stage(
            window=self.stride,
            stride=(1, 1),
            pads=explicit_pads(self._dense_rule(size), size, self.stride, (1, 1), (1, 1)),
            border=BORDERS.get(self.padding, "zeros"),
            features=self.in_features,
        )
        return dense, *super().stages(size)

    def _dense_rule(self, size: Sequence[int]) -> Padding:
        """Return the padding that keeps the size at stride 1, so that the blur sees a map of ``size``."""
        return self.padding if self.padding in BORDERS else tuple(((k - 1) // 2, k // 2) for k in self.stride)
