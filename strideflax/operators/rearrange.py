"""Downsampling that loses nothing, or only high bands: space-to-depth and the Haar wavelet."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from strideflax.kernels import pad_border
from strideflax.operators.base import Downsample
from strideflax.operators.geometry import PADDINGS, PerAxis, border_of, check_border, per_axis, spatial_size
from strideflax.operators.receptive_field import WindowPass
from strideflax.window import Window


def space_to_depth(x: Array, block: PerAxis = 2, *, padding: str = "VALID") -> Array:
    """Stack the ``prod(block)`` phases of ``x`` on its channels: ``y[i, p * channels + c] = x[block * i + p, c]``.

    ``p`` counts the offsets inside a block row by row, as in TensorFlow and ONNX (mode "DCR").

    Args:
        x: ``[batch, *spatial, channels]``, one to three spatial axes.
        block: an int or one per axis.
        padding: ``"VALID"`` takes only sizes that ``block`` divides. Every other rule fills the last block at the high
            end, ``"CIRCULAR"`` by wrapping, ``"REFLECT"`` by mirroring, the others with zeros.

    Returns:
        ``[batch, *ceil(spatial / block), prod(block) * channels]``.

    Raises:
        ValueError: a block, padding or rank that does not fit.
    """
    x = jnp.asarray(x)
    blocks = per_axis(block, len(spatial_size(x)), "block")
    return jnp.concatenate(phases(x, blocks, blocks, padding), axis=-1)


def depth_to_space(x: Array, block: PerAxis = 2) -> Array:
    """Undo `space_to_depth` on sizes that ``block`` divides.

    Args:
        x: ``[batch, *spatial, prod(block) * channels]``.
        block: an int or one per axis.

    Returns:
        ``[batch, *(spatial * block), channels]``.

    Raises:
        ValueError: a block or rank that does not fit, or channels that ``prod(block)`` does not divide.
    """
    x = jnp.asarray(x)
    axes = len(spatial_size(x))
    blocks = per_axis(block, axes, "block")
    if x.shape[-1] % math.prod(blocks):
        raise ValueError(f"channels must be a multiple of {math.prod(blocks)} for block {blocks}, got {x.shape[-1]}")
    y = x.reshape(*x.shape[:-1], *blocks, -1)
    order, sizes = [0], []
    for axis, block_size in enumerate(blocks, start=1):
        order += [axis, axis + axes]
        sizes.append(x.shape[axis] * block_size)
    return y.transpose(*order, 2 * axes + 1).reshape(x.shape[0], *sizes, -1)


def haar_low(x: Array, stride: PerAxis = 2, *, padding: str = "VALID") -> Array:
    """Return the low band of the orthonormal Haar wavelet: twice the mean of each 2 x 2 block.

    Args:
        x: ``[batch, *spatial, channels]``, floating point, one to three spatial axes.
        stride: 2 or 1, an int or one per axis; an axis with 1 is left alone.
        padding: for odd sizes, as in `space_to_depth`.

    Returns:
        ``[batch, *ceil(spatial / stride), channels]``.

    Raises:
        ValueError: a stride, padding or rank that does not fit.
    """
    x = jnp.asarray(x)
    strides = _haar_strides(stride, len(spatial_size(x)))
    return _haar(x, strides, strides, padding, low=True)


def haar_all(x: Array, stride: PerAxis = 2, *, padding: str = "VALID") -> Array:
    """Return all bands of the orthonormal Haar wavelet, stacked on channels.

    Args:
        x, stride, padding: as in `haar_low`.

    Returns:
        ``[batch, *ceil(spatial / stride), bands * channels]``, band after band: for two axes low-low, then high along
        the second axis alone, along the first alone, along both. On sizes that ``stride`` divides the energy is that of
        ``x``.

    Raises:
        ValueError: a stride, padding or rank that does not fit.
    """
    x = jnp.asarray(x)
    strides = _haar_strides(stride, len(spatial_size(x)))
    return _haar(x, strides, strides, padding, low=False)


def _haar_strides(stride: PerAxis, axes: int) -> tuple[int, ...]:
    strides = per_axis(stride, axes, "stride")
    if max(strides) > 2:
        raise ValueError(f"stride of the Haar wavelet must be 1 or 2 on each axis, got {stride!r}")
    return strides


@partial(jax.jit, static_argnames=("stride", "step", "padding", "low"))
def _haar(x: Array, stride: tuple[int, ...], step: tuple[int, ...], padding: str, *, low: bool) -> Array:
    signs = reduce(np.kron, [np.array([[1, 1], [1, -1]]) if s == 2 else np.ones((1, 1), int) for s in stride])
    wide = jnp.promote_types(x.dtype, jnp.float32)
    pixels = phases(x.astype(wide), stride, step, padding)
    scale = np.asarray(len(pixels) ** -0.5, wide)
    bands = []
    for row in signs[:1] if low else signs:
        terms = [pixel if sign > 0 else -pixel for sign, pixel in zip(row, pixels, strict=True)]
        bands.append(scale * reduce(jnp.add, terms))
    return jnp.concatenate(bands, axis=-1).astype(jnp.result_type(x.dtype, float))


def phases(x: Array, block: Sequence[int], step: Sequence[int], padding: str) -> list[Array]:
    """Return the maps ``x[step * i + p]`` for each offset ``p`` inside a block, row by row; see `space_to_depth`."""
    window = block_window(x.shape[1:-1], block, step, padding)
    x = pad_border(x, window.pads, window.border)
    found = []
    for offset in np.ndindex(*block):
        stop = [n - b + p + 1 for n, b, p in zip(x.shape[1:-1], block, offset, strict=True)]
        found.append(lax.slice(x, (0, *offset, 0), (x.shape[0], *stop, x.shape[-1]), (1, *step, 1)))
    return found


def block_window(map_size: Sequence[int], block: Sequence[int], step: Sequence[int], padding: str) -> Window:
    """Return the window of the blocks that start every ``step`` pixels; the high end is padded to complete the last."""
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(PADDINGS)}, got {padding!r}")
    pads = tuple((0, (-(-n // t) - 1) * t + b - n) for n, b, t in zip(map_size, block, step, strict=True))
    window = replace(Window.dense(block, pads=pads), stride=tuple(step), border=border_of(padding))
    if padding == "VALID" and window.is_padded:
        raise ValueError(
            f"blocks {tuple(block)} must divide the map of size {tuple(map_size)}; or choose a padding: SAME (zeros), "
            "REFLECT or CIRCULAR"
        )
    if padding == "REFLECT":  # wrapping may go around a small map more than once
        check_border(padding, map_size, pads)
    return window


class SpaceToDepth(Downsample):
    """Stack the ``s_h s_w`` phases on the channels: every pixel is kept, ``out_features = s_h s_w in_features``.

    ``y[i, p C + c] = x[s i + p, c]``. No multiply-adds of its own; the convolution after it has ``s_h s_w`` times the
    input channels, and with placement "before" that is SPD-Conv. A size that the stride does not divide is padded at
    the high end, with zeros, mirrored (``REFLECT``) or wrapped (``CIRCULAR``). A constant stays that constant where
    nothing is padded with zeros. Phase: the block's centre, (s - 1) / 2. Source: Sunkara and Luo 2022
    (arXiv:2208.03641).

    When it helps: for small objects; nothing is lost.
    """

    default_window = None

    def _features_from(self, in_features: int) -> int:
        """Return ``s_h s_w in_features``: every pixel of a block is kept."""
        return in_features * math.prod(self.stride)

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its stacked phases."""
        return jnp.concatenate(phases(x, self.stride, stride, self.padding), axis=-1)

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return its one pass over blocks, which only moves numbers."""
        window = block_window(map_size, self.stride, self.stride, self.padding)
        return (WindowPass(window=window, features=self.out_features, taps=0),)


class HaarAll(SpaceToDepth):
    """All bands of the orthonormal Haar wavelet, stacked on channels: space-to-depth turned, so nothing is lost.

    Per axis ``low[i] = (x[2i] + x[2i+1]) / sqrt 2`` and ``high[i] = (x[2i] - x[2i+1]) / sqrt 2``; at stride 2 x 2 four
    bands, ``out_features = 4 in_features``, low-low first. The energy ``sum y^2 = sum x^2`` is kept on even sizes; a
    constant ``c`` gives ``2 c`` in the low band and 0 in the others. Strides 1 and 2 only. Border and phase as
    `SpaceToDepth`. Source: Haar 1910; Mallat 1989.

    When it helps: where nothing may be lost and the bands should come apart.
    """

    strides = (1, 2)

    @property
    def constant_gain(self) -> float:
        """That of the low band: the root of 2 for each axis with a stride of 2."""
        return math.sqrt(math.prod(self.stride))

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its stacked bands."""
        return _haar(x, self.stride, stride, self.padding, low=False)

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return its one pass: each band adds up a block."""
        window = block_window(map_size, self.stride, self.stride, self.padding)
        return (WindowPass(window=window, features=self.out_features),)


class HaarLow(HaarAll):
    """The low band of the orthonormal Haar wavelet: ``sqrt(s_h s_w)`` times the mean of each block, twice it for 2 x 2.

    ``y[i] = (x[2i, 2j] + x[2i, 2j+1] + x[2i+1, 2j] + x[2i+1, 2j+1]) / 2``. The average pool in another scale (a
    constant ``c`` gives ``2 c``), except that a zero border counts as pixels. Strides 1 and 2 only. Border and phase as
    `SpaceToDepth`. Source: Haar 1910; Mallat 1989.

    When it helps: as an average pool that keeps the energy.
    """

    def _features_from(self, in_features: int) -> int:
        """Return ``in_features``: one band of each channel is kept."""
        return in_features

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its low band."""
        return _haar(x, self.stride, stride, self.padding, low=True)
