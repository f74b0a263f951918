"""Upsampling in the Fourier domain: the map's own frequencies, and none above them."""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from strideflax.operators.geometry import PerAxis, per_axis, spatial_size
from strideflax.operators.spectral import times_matrix
from strideflax.operators.upsample import Upsample, fine_size


def spectral_upsample(x: Array, stride: PerAxis = 2, *, size: Sequence[int] | None = None) -> Array:
    """Read the trigonometric interpolation of ``x`` on a finer grid: pad the spectrum with zeros.

    ``y[j] = (1 / n) sum_k X[k] exp(2 pi i k j / m)`` over ``|k| <= n / 2`` on a map of ``m`` pixels, ``X`` the discrete
    Fourier transform of ``n`` pixels; the Nyquist frequency of an even ``n`` counts once, as a cosine. It goes through the
    pixels: where ``m = s n``, ``y[s j] = x[j]``.

    Args:
        x: ``[batch, *spatial, channels]``, one to three spatial axes, taken as periodic.
        stride: an int or one per axis.
        size: of the map that comes out, one that ``stride`` takes to ``spatial``; None is ``spatial * stride``.

    Returns:
        ``[batch, *size, channels]``, computed in float32 at least, in the floating-point type of ``x``.

    Raises:
        ValueError: a stride, size or rank that does not fit.
    """
    x = jnp.asarray(x)
    strides = per_axis(stride, len(spatial_size(x)), "stride")
    return _interpolated(x, fine_size(x.shape[1:-1], strides, size))


@partial(jax.jit, static_argnames="size")
def _interpolated(x: Array, size: tuple[int, ...]) -> Array:
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    for axis, fine in enumerate(size):
        n = y.shape[axis + 1]
        if n != fine:
            y = times_matrix(y, axis, interpolation_matrix(n, fine))
    return y.astype(jnp.result_type(x.dtype, float))


def interpolation_matrix(size: int, fine: int) -> np.ndarray:
    """Return ``[fine, size]``, row ``j`` the trigonometric interpolation's weights at ``j size / fine`` pixels."""
    frequencies = np.arange(size // 2 + 1)
    weights = (
        np.where((frequencies == 0) | (2 * frequencies == size), 1.0, 2.0) / size
    )  # both signs, but for 0 and Nyquist
    to = 2 * np.pi * np.outer(np.arange(fine), frequencies) / fine
    come = 2 * np.pi * np.outer(frequencies, np.arange(size)) / size
    odd = np.where(2 * frequencies == size, 0.0, weights)  # Nyquist's sine is 0 on the coarse grid
    return (np.cos(to) * weights) @ np.cos(come) + (np.sin(to) * odd) @ np.sin(come)


class SpectralUpsample(Upsample):
    """Trigonometric interpolation: the spectrum of the map, with zeros above it; the way back of `SpectralPool`.

    ``y = F_m^-1 pad(F_n x)``, see `spectral_upsample`. It adds no frequency that the map did not have, goes through the map's
    pixels, and rings at edges. The map counts as periodic: every ``padding`` is the same here. Every output sees the whole
    map. Phase 0. Multiply-adds: one matrix per axis.

    When it helps: in a decoder behind `spectral_pool`, `asap` or `diff_stride`.
    """

    def _to_size(self, x: Array, size: tuple[int, ...], index: Array | None) -> Array:
        """Map ``[batch, *spatial, channels]`` to its interpolated self."""
        return _interpolated(x, size)

    def macs(self, map_size: Sequence[int]) -> int:
        """Return the matrices' multiply-adds, one axis after the other."""
        sizes, total = list(map_size), 0
        for axis, s in enumerate(self.stride):
            if s > 1:
                coarse, sizes[axis] = sizes[axis], s * sizes[axis]
                total += math.prod(sizes) * coarse * self.in_features
        return total

    def phase(self) -> tuple[float, ...]:
        """Return 0: it goes through the pixels."""
        return (0.0,) * len(self.stride)
