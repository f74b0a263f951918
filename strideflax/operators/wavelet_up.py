"""The way back of wavelets: a map put together from its bands."""

import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from strideflax.kernels import window_sum
from strideflax.operators.geometry import PerAxis
from strideflax.operators.upsample import Upsample, fine_size
from strideflax.operators.wavelet import weights_along, window_along, with_strides
from strideflax.operators.wavelet_filters import IDENTITY, Wavelet, daubechies


def wavelet_upsample(
    x: Array,
    wavelet: Wavelet | None = None,
    *,
    stride: PerAxis = 2,
    size: Sequence[int] | None = None,
    padding: str = "CIRCULAR",
) -> Array:
    """Put a map together from all bands of a wavelet transform: the inverse of `wavelet_all`.

    Args:
        x: ``[batch, *spatial, bands * channels]``.
        wavelet, stride: as in `wavelet_all`.
        size: of the map that comes out, one that ``stride`` takes to ``spatial``; None is ``spatial * stride``.
        padding: ``"CIRCULAR"``, which is exact on even sizes. Every other rule cuts the rim off, which is exact for Haar's
            wavelet alone.

    Returns:
        ``[batch, *size, channels]``.

    Raises:
        ValueError: channels that the number of bands does not divide, or as `wavelet_low`.
    """
    x, strides = with_strides(x, stride)
    if x.shape[-1] % math.prod(strides):
        raise ValueError(f"channels must be a multiple of {math.prod(strides)} bands, got {x.shape[-1]}")
    sizes = fine_size(x.shape[1:-1], strides, size)
    return _put_together(x, wavelet or daubechies(2), strides, sizes, padding)


@partial(jax.jit, static_argnames=("wavelet", "stride", "size", "padding"))
def _put_together(x: Array, wavelet: Wavelet, stride: tuple[int, ...], size: tuple[int, ...], padding: str) -> Array:
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    border = padding if padding == "CIRCULAR" else "SAME"
    for axis, n in enumerate(size):
        if stride[axis] == 1:
            continue
        fine_shape = [*y.shape[:-1], y.shape[-1] // 2]
        fine_shape[axis + 1] = n
        fine = jax.ShapeDtypeStruct(tuple(fine_shape), y.dtype)
        total = jnp.zeros((), y.dtype)
        for part, band in zip(jnp.split(y, 2, axis=-1), wavelet.up(), strict=True):
            window = window_along(axis, band, fine_shape[1:-1], stride[axis], border)
            weights = weights_along(axis, band, len(stride))
            (spread,) = jax.linear_transpose(partial(window_sum, window=window, weights=weights), fine)(part)
            total = total + spread
        y = total
    return y.astype(jnp.result_type(x.dtype, float))


class Db2Upsample(Upsample):
    """Put a map together from the bands of `Db2All`: its inverse on even sizes with a ``CIRCULAR`` border.

    ``out_features = in_features / (s_h s_w)``. Under every other border the rim differs. Phase: the low-pass's, 0.63
    pixels.

    When it helps: in a decoder behind `db2_all`.
    """

    wavelet: ClassVar[Wavelet] = daubechies(2)

    def _features_from(self, in_features: int) -> int:
        """Return ``in_features`` over the number of bands."""
        bands = math.prod(self.stride)
        if max(self.stride) > 2 or in_features % bands:
            raise ValueError(
                f"{type(self).__name__} takes strides of 1 and 2 and a multiple of {bands} channels, got stride {self.stride} "
                f"and {in_features} channels"
            )
        return in_features // bands

    def _to_size(self, x: Array, size: tuple[int, ...], index: Array | None) -> Array:
        """Map ``[batch, *spatial, bands * channels]`` to the map that they were taken from."""
        return _put_together(x, self.wavelet, self.stride, size, self.padding)

    def phase(self) -> tuple[float, ...]:
        """Return the low-pass's centre of mass."""
        return tuple((self.wavelet.back if s == 2 else IDENTITY).middle for s in self.stride)

    def macs(self, map_size: Sequence[int]) -> int:
        """Return the filters' multiply-adds, one axis after the other; each axis makes one number of two halfway."""
        taps = len(self.wavelet.back.taps) * sum(s == 2 for s in self.stride)
        return math.prod(map_size) * taps * self.in_features


class HaarUpsample(Db2Upsample):
    """Put a map together from the bands of `HaarAll`: its inverse, on odd sizes too.

    ``out_features = in_features / (s_h s_w)``; whatever the border, each block comes from its own bands. Phase: half a pixel.

    When it helps: in a decoder behind `haar_all`.
    """

    wavelet = daubechies(1)
