"""Antialiased resizing by a whole factor: the triangle filter that image libraries call "linear with antialiasing"."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from strideflax.kernels import pad_border
from strideflax.operators.base import Downsample
from strideflax.operators.blur import separable_filter
from strideflax.operators.geometry import MODULE_PADDINGS, PerAxis, border_of, check_border, per_axis, spatial_size
from strideflax.operators.receptive_field import WindowPass
from strideflax.window import Window


def triangle_filter(stride: int) -> np.ndarray:
    """Return ``(1 - |d| / s) / s`` at the pixels' distances ``d < s`` from a cell's centre, float64.

    1 gives [1], 2 gives [1 3 3 1]/8, 3 gives [1 2 3 2 1]/9.
    """
    (s,) = per_axis(stride, 1, "stride")
    distances = np.arange(-(s // 2), s + s // 2) - (s - 1) / 2
    return (1 - np.abs(distances) / s) / s


def resize_pool(x: Array, stride: PerAxis = 2, *, padding: str = "SAME") -> Array:
    """Shrink by ``stride``: weight the pixels around each ``stride``-wide cell by a triangle of half-width ``stride``.

    Where the stride divides the size this equals ``jax.image.resize(..., method="linear", antialias=True)``. Elsewhere
    that function stretches its cells to ``n / ceil(n / s)`` pixels, while here they stay ``s`` wide and the last one is
    cut.

    Args:
        x: ``[batch, *spatial, channels]``, floating point, one to three spatial axes.
        stride: an int or one per axis.
        padding: ``"CIRCULAR"`` wraps and ``"REFLECT"`` mirrors the border; every other rule leaves the missing pixels
            out and divides by the weight that remains, as ``jax.image.resize`` does. All keep a constant image.

    Returns:
        ``[batch, *ceil(spatial / stride), channels]``.

    Raises:
        ValueError: a stride or padding that does not fit, or a map too small for its border.
    """
    x = jnp.asarray(x)
    strides = per_axis(stride, len(spatial_size(x)), "stride")
    return _resize(x, strides, strides, padding)


@partial(jax.jit, static_argnames=("stride", "step", "padding"))
def _resize(x: Array, stride: tuple[int, ...], step: tuple[int, ...], padding: str) -> Array:
    """Apply the filters of ``stride`` at every ``step``-th position."""
    map_size = x.shape[1:-1]
    window = _triangle_window(map_size, stride, padding)
    filters = [triangle_filter(s) for s in stride]
    padded = pad_border(x, window.pads, window.border)
    y = separable_filter(padded, window.without_pads().at_stride(step), filters)
    if window.border != "zeros":
        return y
    for axis, n in enumerate(map_size):
        low, high = window.pads[axis]
        inside = np.correlate(np.pad(np.ones(n), (low, high)), filters[axis])[:: step[axis]]
        along_axis = [1] * y.ndim
        along_axis[axis + 1] = -1
        y = y / inside.astype(y.dtype).reshape(along_axis)
    return y


def _triangle_window(map_size: Sequence[int], stride: Sequence[int], padding: str) -> Window:
    """Return the triangles' window, which overhangs half a cell before the first cell and after the last one."""
    if padding not in MODULE_PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(MODULE_PADDINGS)}, got {padding!r}")
    pads = tuple((s // 2, -n % s + s // 2) for n, s in zip(map_size, stride, strict=True))
    check_border(padding, map_size, pads)
    size = [len(triangle_filter(s)) for s in stride]
    return replace(Window.dense(size, pads=pads), stride=tuple(stride), border=border_of(padding))


class Resize(Downsample):
    """Antialiased linear resizing: a triangle of half-width ``s``, once for every cell of ``s`` pixels.

    ``y[i] = sum_p w(p - c_i) x[p]`` with ``c_i = s i + (s - 1) / 2`` and ``w(d) = max(1 - |d| / s, 0) / s``, per axis;
    at stride 2 that is [1 3 3 1]/8, the binomial blur of 4 taps. Unlike a blur's, its width follows from the stride.
    Keeps a constant image under every padding: at a zero border the missing weights are left out, not counted as black.
    Phase (s - 1) / 2, half a pixel at stride 2. The filter of ``jax.image.resize(antialias=True)``.

    When it helps: at any stride, with a wider low-pass.
    """

    default_window = None

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its weighted means."""
        return _resize(x, self.stride, stride, self.padding)

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return its one pass, separable."""
        window = _triangle_window(map_size, self.stride, self.padding)
        return (WindowPass(window=window, features=self.in_features, separable=True),)
