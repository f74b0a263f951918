"""Low-pass filters before subsampling: BlurPool and the antialiased max pool."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from strideflax.kernels import window_sum
from strideflax.operators.base import Downsample
from strideflax.operators.geometry import (
    MODULE_PADDINGS,
    Padding,
    PerAxis,
    centred,
    make_window,
    per_axis,
    spatial_size,
)
from strideflax.operators.pool import max_over
from strideflax.operators.receptive_field import WindowPass
from strideflax.window import Window


def binomial_filter(taps: int) -> np.ndarray:
    """Return ``binomial(taps - 1, i) / 2^(taps - 1)``, float64: 2 taps [1 1]/2, 3 [1 2 1]/4, 4 [1 3 3 1]/8, and so on."""
    per_axis(taps, 1, "taps")
    return np.array([math.comb(taps - 1, i) for i in range(taps)]) / 2.0 ** (taps - 1)


def blur_pool(x: Array, taps: PerAxis = 3, *, stride: PerAxis = 2, padding: Padding = "REFLECT") -> Array:
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
    map_size = spatial_size(x)
    return blur(x, make_window(map_size, per_axis(taps, len(map_size), "taps"), stride=stride, padding=padding))


def max_blur(x: Array, taps: PerAxis = 3, *, stride: PerAxis = 2, padding: str = "REFLECT") -> Array:
    """Take the maximum of every window as large as the stride, then `blur_pool`: the antialiased max pool.

    Args:
        x: ``[batch, *spatial, channels]``, floating point, one to three spatial axes.
        taps: filter length, an int or one per axis.
        stride: of the blur, and size of the maximum's windows; an int or one per axis.
        padding: of both, ``"SYMMETRIC"``, ``"SAME"``, ``"SAME_LOWER"``, ``"REFLECT"`` or ``"CIRCULAR"``.

    Returns:
        ``[batch, *ceil(spatial / stride), channels]``.

    Raises:
        ValueError: arguments that do not fit, or a map too small for its border.
    """
    x = jnp.asarray(x)
    map_size = spatial_size(x)
    if padding not in MODULE_PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(MODULE_PADDINGS)}, got {padding!r}")
    strides, sizes = per_axis(stride, len(map_size), "stride"), per_axis(taps, len(map_size), "taps")
    strongest = max_over(x, _dense_maximum(map_size, strides, padding))
    return blur(strongest, make_window(map_size, sizes, stride=strides, padding=centred(padding, sizes)))


def _dense_maximum(map_size: Sequence[int], size: tuple[int, ...], padding: str) -> Window:
    """Return the maximum's window at stride 1, padded so that the blur sees a map of the same size."""
    return make_window(map_size, size, padding=centred("SYMMETRIC" if padding.startswith("SAME") else padding, size))


def blur(x: Array, window: Window) -> Array:
    """Filter each channel as `blur_pool` does, with the window made already."""
    return separable_filter(x, window, [binomial_filter(k) for k in window.size])


def separable_filter(x: Array, window: Window, filters: Sequence[np.ndarray]) -> Array:
    """Correlate each channel with the outer product of ``filters``, one as long as the window per axis."""
    weights = tuple(tuple(map(float, factors)) for factors in filters)
    wide = jnp.promote_types(x.dtype, jnp.float32)  # a sum in bfloat16 would round at every tap
    return window_sum(x.astype(wide), window, weights).astype(jnp.result_type(x.dtype, float))


class BlurPool(Downsample):
    """A binomial low-pass of ``window`` taps (3 by default), then every ``stride``-th pixel.

    ``y[i] = sum_t b[t] x[s i + t - pad_low]`` with ``b`` the row of Pascal's triangle over its sum. Aliases less the more
    taps it has, and blurs more. It belongs after the nonlinearity. Phase 0 for odd lengths, half a pixel for even ones.
    ``REFLECT`` and ``CIRCULAR`` borders keep a constant image; zeros darken its rim. A map of n pixels can mirror n - 1:
    3 taps take a map of 2 x 2, and one of 1 x 1 is refused; a ``CIRCULAR`` border and zeros take that too.
    Source: Zhang 2019 (arXiv:1904.11486).

    When it helps: for consistency under shifts at little cost.
    """

    default_window = 3
    default_padding = "REFLECT"

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its blurred, subsampled self."""
        return blur(x, self._window_on(x.shape[1:-1]).at_stride(stride))

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return its one pass, separable."""
        return (WindowPass(window=self._window_on(map_size), features=self.in_features, separable=True),)


class MaxBlur(BlurPool):
    """A dense maximum over windows as large as the stride, then `BlurPool`: the antialiased max pool.

    Max pooling is a dense maximum and a subsampling; the blur goes between. Phase: the maximum's plus the filter's, half a
    pixel at stride 2 with 3 taps. Source: Zhang 2019 (arXiv:1904.11486).

    When it helps: in place of a max pool, without its aliasing.
    """

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its blurred, subsampled local maxima."""
        strongest = max_over(x, _dense_maximum(x.shape[1:-1], self.stride, self.padding))
        return super()._at_stride(strongest, stride)

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return the maximum's pass at stride 1 and the blur's."""
        dense = _dense_maximum(map_size, self.stride, self.padding)
        return WindowPass(window=dense, features=self.in_features), *super().passes(map_size)
