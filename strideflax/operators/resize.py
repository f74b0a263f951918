"""Antialiased resizing by a whole factor: the triangle filter that image libraries call "linear with antialiasing"."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from strideflax.operators.base import Downsample
from strideflax.operators.blur import separable_filter
from strideflax.operators.border import pad_border, spatial_axes
from strideflax.operators.geometry import BORDERS, Pads, Stage, check_border, per_axis


def triangle_filter(stride: int) -> np.ndarray:
    """Return ``(1 - |d| / s) / s`` at the pixels' distances ``d < s`` from a cell's centre, float64.

    1 gives [1], 2 gives [1 3 3 1]/8, 3 gives [1 2 3 2 1]/9.
    """
    (s,) = per_axis(stride, 1, "stride")
    distances = np.arange(-(s // 2), s + s // 2) - (s - 1) / 2
    return (1 - np.abs(distances) / s) / s


def resize_pool(x: Array, stride: int | Sequence[int] = 2, *, padding: str = "SAME") -> Array:
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
    strides = per_axis(stride, spatial_axes(x), "stride")
    return _resize(x, strides, strides, padding)


@partial(jax.jit, static_argnums=(1, 2, 3))
def _resize(x: Array, stride: tuple[int, ...], step: tuple[int, ...], padding: str) -> Array:
    """Apply the filters of ``stride`` at every ``step``-th position."""
    size, pads = x.shape[1:-1], _pads(x.shape[1:-1], stride, padding)
    filters = [triangle_filter(s) for s in stride]
    y = separable_filter(pad_border(x, pads, BORDERS.get(padding, "zeros")), filters, step, "VALID")
    if padding in BORDERS:
        return y
    for axis, (n, (low, high), weights, t) in enumerate(zip(size, pads, filters, step, strict=True), start=1):
        inside = np.correlate(np.pad(np.ones(n), (low, high)), weights)[::t]
        y = y / inside.astype(y.dtype).reshape([-1 if a == axis else 1 for a in range(y.ndim)])
    return y


def _pads(size: Sequence[int], stride: Sequence[int], padding: str) -> Pads:
    """Return what the triangles overhang: half a cell before the first cell and after the last one."""
    if padding not in Downsample.paddings:
        raise ValueError(f"padding must be one of {', '.join(Downsample.paddings)}, got {padding!r}")
    pads = tuple((s // 2, -n % s + s // 2) for n, s in zip(size, stride, strict=True))
    check_border(padding, size, pads)
    return pads


class Resize(Downsample):
    """Antialiased linear resizing: a triangle of half-width ``s``, once for every cell of ``s`` pixels.

    ``y[i] = sum_p w(p - c_i) x[p]`` with ``c_i = s i + (s - 1) / 2`` and ``w(d) = max(1 - |d| / s, 0) / s``, per axis;
    at stride 2 that is [1 3 3 1]/8, the binomial blur of 4 taps. Unlike a blur's, its width follows from the stride.
    Keeps a constant image under every padding: at a zero border the missing weights are left out, not counted as black.
    Phase (s - 1) / 2, half a pixel at stride 2. The filter of ``jax.image.resize(antialias=True)``.
    """

    windowless = True

    def at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, height, width, channels]`` to its weighted means."""
        return _resize(x, self.stride, stride, self.padding)

    def stages(self, size: Sequence[int]) -> tuple[Stage, ...]:
        """Return its one step, separable."""
        stage = Stage(
            window=tuple(len(triangle_filter(s)) for s in self.stride),
            stride=self.stride,
            pads=_pads(size, self.stride, self.padding),
            border=BORDERS.get(self.padding, "zeros"),
            features=self.in_features,
            separable=True,
        )
        return (stage,)
