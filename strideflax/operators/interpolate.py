"""Upsampling by interpolation: the nearest pixel, and linear along each axis."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from strideflax.operators.geometry import PerAxis, per_axis, spatial_size
from strideflax.operators.spread import spread
from strideflax.operators.upsample import Upsample, fine_size

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


def _phases(phase: PerAxisPhase | None, stride: Sequence[int]) -> tuple[float, ...]:
    if phase is None:
        return tuple((s - 1) / 2 for s in stride)
    given = tuple(phase) if isinstance(phase, Sequence) else tuple(phase if s > 1 else 0 for s in stride)
    if len(given) != len(stride) or not all(0 <= p <= s - 1 for p, s in zip(given, stride, strict=True)):
        raise ValueError(f"phase must be 0 to stride - 1, a number or {len(stride)} of them, got {phase!r} at {stride}")
    return tuple(float(p) for p in given)


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
    return spread(x, size, stride, tuple(lows), tuple(filters), padding)


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
