"""Wavelets beyond Haar's: the low band or all bands of a transform."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from strideflax.kernels import window_sum
from strideflax.operators.base import Downsample
from strideflax.operators.geometry import PADDINGS, PerAxis, border_of, check_border, per_axis, spatial_size
from strideflax.operators.receptive_field import WindowPass
from strideflax.operators.wavelet_filters import IDENTITY, Filter, Wavelet, daubechies, spline_wavelet
from strideflax.window import Window


def wavelet_low(x: Array, wavelet: Wavelet | None = None, *, stride: PerAxis = 2, padding: str = "REFLECT") -> Array:
    """Return the low band of a wavelet transform: a low-pass, then every second pixel.

    Args:
        x: ``[batch, *spatial, channels]``, floating point, one to three spatial axes.
        wavelet: by default ``daubechies(2)``.
        stride: 2 or 1, an int or one per axis; an axis with 1 is left alone.
        padding: ``"REFLECT"``, ``"CIRCULAR"``, or zeros by every other rule of `Downsample`.

    Returns:
        ``[batch, *ceil(spatial / stride), channels]``.

    Raises:
        ValueError: a stride, padding or rank that does not fit, or a map too small for its border.
    """
    x, strides = with_strides(x, stride)
    return _bands(x, wavelet or daubechies(2), strides, strides, padding, low=True)


def wavelet_all(x: Array, wavelet: Wavelet | None = None, *, stride: PerAxis = 2, padding: str = "CIRCULAR") -> Array:
    """Return all bands of a wavelet transform, stacked on channels; `wavelet_upsample` undoes it.

    Args:
        x, wavelet, stride, padding: as in `wavelet_low`. With ``"CIRCULAR"`` on even sizes nothing is lost, and an orthonormal
            wavelet keeps the energy.

    Returns:
        ``[batch, *ceil(spatial / stride), bands * channels]``, in the order of `strideflax.haar_all`: low-low first.

    Raises:
        ValueError: as `wavelet_low`.
    """
    x, strides = with_strides(x, stride)
    return _bands(x, wavelet or daubechies(2), strides, strides, padding, low=False)


def with_strides(x: Array, stride: PerAxis) -> tuple[Array, tuple[int, ...]]:
    """Return ``x`` as an array, and the stride of each axis, 1 or 2."""
    x = jnp.asarray(x)
    strides = per_axis(stride, len(spatial_size(x)), "stride")
    if max(strides) > 2:
        raise ValueError(f"stride of a wavelet must be 1 or 2 on each axis, got {stride!r}")
    return x, strides


def window_along(axis: int, band: Filter, map_size: Sequence[int], stride: int, padding: str) -> Window:
    """Return the window of a filter along one axis, padded so that it gives ``ceil(n / stride)`` outputs there."""
    if padding not in PADDINGS or padding == "VALID":
        raise ValueError(f"padding must be one of {', '.join(PADDINGS[1:])}, got {padding!r}")
    axes, n, taps = len(map_size), map_size[axis], len(band.taps)
    size, strides, pads = [1] * axes, [1] * axes, [(0, 0)] * axes
    size[axis], strides[axis] = taps, stride
    pads[axis] = (-band.first, (-(-n // stride) - 1) * stride + taps + band.first - n)
    if padding == "REFLECT":  # wrapping may go around a small map more than once
        check_border(padding, map_size, tuple(pads))
    ones = (1,) * axes
    return Window(size=tuple(size), stride=tuple(strides), pads=tuple(pads), dilation=ones, border=border_of(padding))


def weights_along(axis: int, band: Filter, axes: int) -> tuple[tuple[float, ...], ...]:
    """Return the weights of a filter along one of ``axes``, as `window_sum` takes them."""
    weights = [IDENTITY.taps] * axes
    weights[axis] = band.taps
    return tuple(weights)


@partial(jax.jit, static_argnames=("wavelet", "stride", "step", "padding", "low"))
def _bands(
    x: Array, wavelet: Wavelet, stride: tuple[int, ...], step: tuple[int, ...], padding: str, *, low: bool
) -> Array:
    """Return the low band or all of them, of the transform for ``stride``, read at every ``step``-th position.

    The last axis comes first, so that the bands of the first axis vary slowest.
    """
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    for axis in reversed(range(len(stride))):
        if stride[axis] == 1:
            continue
        parts = []
        for band in wavelet.down()[: 1 if low else 2]:
            window = window_along(axis, band, y.shape[1:-1], stride[axis], padding)
            steps = [1] * len(stride)
            steps[axis] = step[axis]
            parts.append(window_sum(y, window.at_stride(steps), weights_along(axis, band, len(stride))))
        y = jnp.concatenate(parts, axis=-1)
    return y.astype(jnp.result_type(x.dtype, float))


class WaveletLow(Downsample):
    """The low band of a wavelet transform; a subclass says of which ``wavelet``."""

    wavelet: ClassVar[Wavelet] = daubechies(2)
    low: ClassVar[bool] = True
    default_window = None
    default_padding = "REFLECT"
    strides = (1, 2)

    @property
    def constant_gain(self) -> float:
        """That of the low band, whose filters add up to the root of 2 on each axis with a stride of 2."""
        return math.sqrt(math.prod(self.stride))

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its low band, or to all."""
        return _bands(x, self.wavelet, self.stride, stride, self.padding, low=self.low)

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return its one pass, separable; all bands count as the low one does."""
        size, pads = [], []
        for axis, s in enumerate(self.stride):
            band = self.wavelet.low if s == 2 else IDENTITY
            size.append(len(band.taps))
            pads.append(window_along(axis, band, map_size, s, self.padding).pads[axis])
        dense = Window.dense(size, pads=tuple(pads))
        window = replace(dense, stride=self.stride, border=border_of(self.padding))
        return (WindowPass(window=window, features=self.out_features, separable=True),)

    def phase(self, map_size: Sequence[int]) -> tuple[float, ...]:
        """Return the low-pass's centre of mass, which is where a slowly changing map is read."""
        return tuple((self.wavelet.low if s == 2 else IDENTITY).middle for s in self.stride)


class Db2Low(WaveletLow):
    """The low band of Daubechies' wavelet of four taps, two vanishing moments: a sharper low-pass than Haar's.

    ``y[i] = sum_t h[t] x[2 i + t]`` along each axis, ``h = [1 + r, 3 + r, 3 - r, 1 - r] / (4 sqrt 2)`` with ``r = sqrt 3``.
    A constant ``c`` gives ``2 c`` on two axes. Strides 1 and 2 only. ``REFLECT`` and ``CIRCULAR`` borders keep a constant;
    zeros darken its rim. Phase: the filter's centre of mass, 0.63 pixels. Sources: Daubechies 1988; in networks Li et al.
    2020 (arXiv:2005.03337), "WaveCNet".

    When it helps: as `haar_low`, with less aliasing.
    """


class Bior33Low(WaveletLow):
    """The low band of the biorthogonal spline wavelet 3.3: eight symmetric taps, the flattest low-pass of the three.

    ``y[i] = sum_t h[t] x[2 i + t - 3]`` along each axis, ``h = sqrt 2 [3, -9, -7, 45, 45, -7, -9, 3] / 64``. It overshoots
    at edges, as some taps are negative. A constant ``c`` gives ``2 c`` on two axes. Strides 1 and 2 only. ``REFLECT`` and
    ``CIRCULAR`` borders keep a constant; zeros darken its rim. Phase: half a pixel. Sources: Cohen, Daubechies and Feauveau
    1992; in networks Li et al. 2020 (arXiv:2005.03337), "WaveCNet". As a function: ``wavelet_low(x, spline_wavelet(3, 3))``.

    When it helps: to keep more detail than a blur does, without a phase that bends.
    """

    wavelet = spline_wavelet(3, 3)


class Db2All(WaveletLow):
    """All bands of Daubechies' wavelet of four taps, stacked on channels: a turned space-to-depth whose blocks overlap.

    The filters are those of `Db2Low` and their mirror images; at stride 2 x 2 four bands, ``out_features = 4 in_features``,
    low-low first. With a ``CIRCULAR`` border on even sizes the energy ``sum y^2 = sum x^2`` is kept and `Db2Upsample`
    undoes it. Strides 1 and 2 only. Phase: the low-pass's, 0.63 pixels. Source: Daubechies 1988.

    When it helps: as `haar_all`, with bands that overlap less.
    """

    low = False
    default_padding = "CIRCULAR"

    def _features_from(self, in_features: int) -> int:
        """Return one band of every kind for each channel."""
        return in_features * math.prod(self.stride)
