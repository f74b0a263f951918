"""Upsampling by fixed filters: the nearest pixel, linear interpolation, and a blur against the images of the spectrum.

A filter that gathers fine pixels into coarse ones on the way down spreads coarse pixels over fine ones on the way up: one is
the transpose of the other. Each fine pixel is then divided by the weights that reached it.
"""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from strideflax.kernels import window_sum
from strideflax.operators.blur import binomial_filter
from strideflax.operators.geometry import MODULE_PADDINGS, PerAxis, border_of, per_axis, spatial_size
from strideflax.operators.upsample import Upsample, fine_size
from strideflax.window import Window

PerAxisPhase = float | Sequence[float]


def nearest_upsample(x: Array, stride: PerAxis = 2, *, size: Sequence[int] | None = None) -> Array:
    """Repeat every pixel ``stride`` times along each axis, ``y[j] = x[j // stride]``.

    Args:
        x: ``[batch, *spatial, channels]``, one to three spatial axes.
        stride: an int or one per axis.
        size: of the map that comes out, one that ``stride`` takes to ``spatial``; None is ``spatial * stride``.

    Returns:
        ``[batch, *size, channels]`` in the type of ``x``.

    Raises:
        ValueError: a stride, size or rank that does not fit.
    """
    x = jnp.asarray(x)
    strides = per_axis(stride, len(spatial_size(x)), "stride")
    sizes = fine_size(x.shape[1:-1], strides, size)
    single, full = [], []
    for n, s in zip(x.shape[1:-1], strides, strict=True):
        single += [n, 1]
        full += [n, s]
    blocks = jnp.broadcast_to(x.reshape(x.shape[0], *single, x.shape[-1]), (x.shape[0], *full, x.shape[-1]))
    whole = blocks.reshape(x.shape[0], *(n * s for n, s in zip(x.shape[1:-1], strides, strict=True)), x.shape[-1])
    return whole[:, *(slice(n) for n in sizes)]


def linear_upsample(
    x: Array,
    stride: PerAxis = 2,
    *,
    size: Sequence[int] | None = None,
    phase: PerAxisPhase | None = None,
    padding: str = "SYMMETRIC",
) -> Array:
    """Interpolate linearly along each axis: bilinear on two axes, trilinear on three.

    ``y[j] = sum_i w[j, i] x[i]`` with ``w[j, i] = max(1 - |j - (s i + phase)| / s, 0)``, over its sum. By default it equals
    ``jax.image.resize(..., method="linear")``, and PyTorch's ``interpolate`` without ``align_corners``.

    Args:
        x: ``[batch, *spatial, channels]``, floating point, one to three spatial axes.
        stride: an int or one per axis.
        size: of the map that comes out, one that ``stride`` takes to ``spatial``; None is ``spatial * stride``.
        phase: where pixel 0 of ``x`` stands among the fine pixels, 0 to ``stride - 1``, a number or one per axis: what
            `Downsample.phase` says of the layer that made ``x``. None is the middle of a block, ``(stride - 1) / 2``.
        padding: ``"CIRCULAR"`` wraps around; every other rule leaves the missing pixels out, so that the rim repeats.

    Returns:
        ``[batch, *size, channels]``, computed in float32 at least, in the floating-point type of ``x``.

    Raises:
        ValueError: a stride, size, phase, padding or rank that does not fit.
    """
    x = jnp.asarray(x)
    strides = per_axis(stride, len(spatial_size(x)), "stride")
    return _interpolate(x, fine_size(x.shape[1:-1], strides, size), strides, _phases(phase, strides), padding)


def blur_upsample(
    x: Array,
    stride: PerAxis = 2,
    *,
    taps: PerAxis | None = None,
    size: Sequence[int] | None = None,
    padding: str = "SYMMETRIC",
) -> Array:
    """Put zeros between the pixels and blur them with binomial filters: the transpose of `strideflax.blur_pool`, normalised.

    The filter takes away the images of the spectrum that zeros between pixels make: more with more taps. At stride 2, three
    taps are linear interpolation at phase 0 and four taps at phase 1/2.

    Args:
        x: ``[batch, *spatial, channels]``, floating point, one to three spatial axes.
        stride: an int or one per axis.
        taps: filter length, at least ``2 * stride - 2``, an int for every axis that grows or one per axis; None is
            ``2 * stride + 1``.
        size: of the map that comes out, one that ``stride`` takes to ``spatial``; None is ``spatial * stride``.
        padding: ``"CIRCULAR"`` wraps around; every other rule leaves the missing pixels out. All keep a constant image.

    Returns:
        ``[batch, *size, channels]``, computed in float32 at least, in the floating-point type of ``x``.

    Raises:
        ValueError: a stride, taps, a size, padding or rank that does not fit.
    """
    x = jnp.asarray(x)
    strides = per_axis(stride, len(spatial_size(x)), "stride")
    return _blur(x, fine_size(x.shape[1:-1], strides, size), strides, _lengths(taps, strides), padding)


def _phases(phase: PerAxisPhase | None, stride: Sequence[int]) -> tuple[float, ...]:
    if phase is None:
        return tuple((s - 1) / 2 for s in stride)
    given = tuple(phase) if isinstance(phase, Sequence) else tuple(phase if s > 1 else 0 for s in stride)
    if len(given) != len(stride) or not all(0 <= p <= s - 1 for p, s in zip(given, stride, strict=True)):
        raise ValueError(f"phase must be 0 to stride - 1, a number or {len(stride)} of them, got {phase!r} at {stride}")
    return tuple(float(p) for p in given)


def _lengths(taps: PerAxis | None, stride: tuple[int, ...]) -> tuple[int, ...]:
    if taps is None:
        return tuple(2 * s + 1 if s > 1 else 1 for s in stride)
    lengths = per_axis(taps, len(stride), "taps")
    if not isinstance(taps, Sequence):
        lengths = tuple(k if s > 1 else 1 for k, s in zip(lengths, stride, strict=True))
    if any(k < 2 * s - 2 for k, s in zip(lengths, stride, strict=True)):
        raise ValueError(
            f"taps must be at least 2 * stride - 2, so that every pixel is reached, got {taps!r} at {stride}"
        )
    return lengths


def _interpolate(
    x: Array, size: tuple[int, ...], stride: tuple[int, ...], phase: tuple[float, ...], padding: str
) -> Array:
    """Spread triangles whose half-width is the stride."""
    lows, filters = [], []
    for s, p in zip(stride, phase, strict=True):
        first = math.floor(p - s) + 1
        distances = np.arange(first, math.ceil(p + s)) - p
        lows.append(-first)
        filters.append(tuple(1 - np.abs(distances) / s))
    return _spread(x, size, stride, tuple(lows), tuple(filters), padding)


def _blur(x: Array, size: tuple[int, ...], stride: tuple[int, ...], taps: tuple[int, ...], padding: str) -> Array:
    """Spread binomial filters, which weigh the pixels of a map of ones by about one."""
    lows = tuple((k - 1) // 2 for k in taps)
    filters = tuple(tuple(s * binomial_filter(k)) for k, s in zip(taps, stride, strict=True))
    return _spread(x, size, stride, lows, filters, padding)


@partial(jax.jit, static_argnames=("size", "stride", "lows", "filters", "padding"))
def _spread(
    x: Array,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    lows: tuple[int, ...],
    filters: tuple[tuple[float, ...], ...],
    padding: str,
) -> Array:
    """Add the filters to a fine map, one for each coarse pixel from ``stride * i - low`` on, over the sum of their weights."""
    if padding not in MODULE_PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(MODULE_PADDINGS)}, got {padding!r}")
    border = border_of(padding) if padding == "CIRCULAR" else "zeros"
    pads = []
    for n, coarse, s, low, weights in zip(size, x.shape[1:-1], stride, lows, filters, strict=True):
        pads.append((low, (coarse - 1) * s + len(weights) - low - n))
    taps = tuple(len(weights) for weights in filters)
    window = Window(size=taps, stride=stride, pads=tuple(pads), dilation=(1,) * len(stride), border=border)
    wide = jnp.promote_types(x.dtype, jnp.float32)
    factors = tuple(tuple(map(float, weights)) for weights in filters)
    fine = jax.ShapeDtypeStruct((x.shape[0], *size, x.shape[-1]), wide)
    (y,) = jax.linear_transpose(lambda fine: window_sum(fine, window, factors), fine)(x.astype(wide))
    for axis, n in enumerate(size):
        total = _arriving_weight(n, x.shape[axis + 1], stride[axis], lows[axis], filters[axis], border == "wrap")
        y = y / lax.expand_dims(jnp.asarray(total, wide), [a for a in range(y.ndim) if a != axis + 1])
    return y.astype(jnp.result_type(x.dtype, float))


def _arriving_weight(
    size: int, coarse: int, stride: int, low: int, weights: Sequence[float], wraps: bool
) -> np.ndarray:
    """Return the sum of the weights that reach each of ``size`` fine pixels along one axis."""
    total = np.zeros(size)
    for start in range(-low, coarse * stride - low, stride):
        places = start + np.arange(len(weights))
        inside = (places >= 0) & (places < size)
        np.add.at(total, places % size if wraps else places[inside], weights if wraps else np.asarray(weights)[inside])
    return total


class NearestUpsample(Upsample):
    """Repeat every pixel over a block as large as the stride: ``y[j] = x[j // s]``.

    Nothing is computed, and edges become blocks: it passes on the images of the spectrum that a smoother filter takes away.
    Phase: the block's centre, (s - 1) / 2. ``padding`` changes nothing.

    When it helps: before a convolution, which learns to smooth; the usual cure for the checkerboards of `TransposedConv`.
    """

    def _to_size(self, x: Array, size: tuple[int, ...], index: Array | None) -> Array:
        """Map ``[batch, *spatial, channels]`` to its repeated pixels."""
        return nearest_upsample(x, self.stride, size=size)

    def macs(self, map_size: Sequence[int]) -> int:
        """Return 0: numbers are only moved."""
        return 0


class LinearUpsample(Upsample):
    """Linear interpolation along each axis: bilinear on two axes, trilinear on three.

    ``y[j] = sum_i max(1 - |j - (s i + phase)| / s, 0) x[i]``. By default ``phase`` is the block's centre, (s - 1) / 2, as in
    ``jax.image.resize`` and PyTorch's ``interpolate``; behind a layer of another phase (a centred 3 x 3 stride has 0) give
    that one, or the map comes back moved by the difference. ``"CIRCULAR"`` wraps around, under the other rules the rim
    repeats; a constant stays.

    Args:
        phase: where coarse pixel 0 stands among the fine ones, 0 to ``stride - 1``, a number or one per axis; None is
            (s - 1) / 2. The other arguments are those of `Upsample`.

    When it helps: as the default. It costs next to nothing and leaves no checkerboard.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        stride: PerAxis = 2,
        phase: PerAxisPhase | None = None,
        padding: str = "SYMMETRIC",
        axes: int | None = None,
        rngs: nnx.Rngs | None = None,
    ):
        super().__init__(in_features, out_features, stride=stride, padding=padding, axes=axes, rngs=rngs)
        self._phase = _phases(phase, self.stride)

    def _to_size(self, x: Array, size: tuple[int, ...], index: Array | None) -> Array:
        """Map ``[batch, *spatial, channels]`` to its interpolated self."""
        return _interpolate(x, size, self.stride, self._phase, self.padding)

    def macs(self, map_size: Sequence[int]) -> int:
        """Return two neighbours' multiply-adds for every fine pixel along each axis that grows."""
        taps = math.prod(2 * s if s > 1 else 1 for s in self.stride)
        return math.prod(map_size) * taps * self.in_features

    def phase(self) -> tuple[float, ...]:
        """Return where coarse pixel 0 stands on the fine map."""
        return self._phase


class BlurUpsample(Upsample):
    """Zeros between the pixels, then a binomial low-pass of ``window`` taps (2 s + 1 by default): the way back of `BlurPool`.

    ``y[j] = sum_i b[j - s i + low] x[i] / sum_i b[j - s i + low]``, the transpose of the blur on the way down. With five taps
    at stride 2 it is the "expand" of a Gaussian pyramid. Smoother than linear interpolation, so fewer images of the spectrum
    are left. Phase 0 for odd lengths, half a pixel for even ones. ``"CIRCULAR"`` wraps around; under the other rules missing
    pixels are left out, and a constant stays. Source: Burt and Adelson 1983.

    When it helps: where the map should come back without aliasing, as it went down.
    """

    default_window = "2 * stride + 1"

    def _usual_window(self) -> tuple[int, ...]:
        """Return ``2 s + 1`` on every axis that grows."""
        return _lengths(None, self.stride)

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Check that the filter reaches every pixel."""
        _lengths(self.window, self.stride)

    def _to_size(self, x: Array, size: tuple[int, ...], index: Array | None) -> Array:
        """Map ``[batch, *spatial, channels]`` to its blurred, enlarged self."""
        return _blur(x, size, self.stride, self.window, self.padding)

    def phase(self) -> tuple[float, ...]:
        """Return 0 for odd lengths, 1/2 for even ones."""
        return tuple((k - 1) / 2 - (k - 1) // 2 for k in self.window)
