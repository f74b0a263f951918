"""Sliding windows over zero-padded maps, read two ways: every window its pixels, and every pixel the windows over it.

Both ways are elementwise operations on slices, which XLA fuses. Scattering, the transpose that JAX would derive by
itself, is slow on a CPU, and so is `lax.reduce_window`, whose max gradient is a select-and-scatter.
"""

from collections.abc import Callable, Iterator
from functools import partial, reduce
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from strideflax.operators.adjoint import adjoint_pair
from strideflax.operators.border import every
from strideflax.operators.geometry import padded_output_size

Weights = tuple[tuple[float, ...], ...]  # one for each tap of each spatial axis; a pixel's weight is their product


class Windows(NamedTuple):
    """Where the windows lie, per spatial axis; ``size`` is the padded map's."""

    size: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def outputs(self) -> tuple[int, ...]:
        """The number of windows along each axis."""
        pads = ((0, 0),) * len(self.size)
        return padded_output_size(self.size, self.window, self.stride, pads, self.dilation)


def fold(x: Array, windows: Windows, combine: Callable[[Array, Array], Array]) -> Array:
    """Combine the pixels of every window with an associative ``combine``, axis by axis, so that k x k costs 2k slices."""
    for axis, slices in _along_each_axis(windows):
        x = reduce(combine, slices(x, axis))
    return x


def _along_each_axis(windows: Windows) -> Iterator[tuple[int, Callable[[Array, int], list[Array]]]]:
    """Yield each spatial axis and a function that returns the first pixels of all windows along it, the second ones, ..."""
    for axis, (k, s, d, o) in enumerate(zip(*windows[1:], windows.outputs, strict=True), start=1):
        yield axis, partial(_slices, first=range(0, k * d, d), count=o, stride=s)


def _slices(x: Array, axis: int, *, first: range, count: int, stride: int) -> list[Array]:
    return [lax.slice_in_dim(x, f, f + (count - 1) * stride + 1, stride, axis) for f in first]


def pixels(x: Array, windows: Windows) -> Iterator[Array]:
    """Yield the first pixel of every window, then the second, in row-major order: ``[batch, *outputs, channels]`` each."""
    for tap in np.ndindex(*windows.window):
        first = [t * d for t, d in zip(tap, windows.dilation, strict=True)]
        yield every(x, first, windows.outputs, windows.stride)


def largest(x: Array, windows: Windows) -> tuple[Array, Array]:
    """Return the maximum of every window and the place of its first occurrence in row-major order; NaN is the largest."""
    places = np.uint8 if np.prod(windows.window) <= 255 else np.int32
    taps = pixels(x, windows)
    best = next(taps)
    place = jnp.zeros(best.shape, places)
    for number, pixel in enumerate(taps, start=1):
        better = (pixel > best) | (pixel != pixel)
        best, place = jnp.where(better, pixel, best), jnp.where(better, places(number), place)
    return best, place


def _pick(x: Array, place: Array, *, windows: Windows) -> Array:
    picked = [jnp.where(place == number, pixel, 0) for number, pixel in enumerate(pixels(x, windows))]
    return reduce(jnp.add, picked)


def _place(g: Array, place: Array, *, windows: Windows) -> Array:
    return _gathered(g, windows, place=place)


def _sum(x: Array, *, windows: Windows, weights: Weights) -> Array:
    for (axis, slices), factors in zip(_along_each_axis(windows), weights, strict=True):
        x = reduce(jnp.add, [pixel * np.asarray(w, x.dtype) for pixel, w in zip(slices(x, axis), factors, strict=True)])
    return x


def _spread(g: Array, *, windows: Windows, weights: Weights) -> Array:
    return _gathered(g, windows, weights=weights)


def _gathered(g: Array, windows: Windows, *, place: Array | None = None, weights: Weights = ()) -> Array:
    """Return for every pixel the sum of ``g`` over the windows that hold it, weighted or only of those with it in ``place``.

    Pixel ``s i + r`` is tap ``s a + r`` of window ``i - a``. So the map is a grid of blocks of s pixels, and for each ``a``
    a block reads one window: a broadcast, times the weights of the block's taps, or masked by where the maximum lies.
    """
    size, window, stride, dilation = windows
    if any(d > 1 for d in dilation):
        x = jax.ShapeDtypeStruct((g.shape[0], *size, g.shape[-1]), g.dtype)
        read = partial(_sum, weights=weights) if place is None else partial(_pick, place=place)
        return jax.linear_transpose(partial(read, windows=windows), x)(g)[0]
    blocks = [-(-n // s) for n, s in zip(size, stride, strict=True)]
    shifts = list(product(*(range(-(-k // s)) for k, s in zip(window, stride, strict=True))))
    if len(shifts) > 1:  # without the barrier XLA would compute both again for every block that reads them
        g, place = lax.optimization_barrier((g, place))
    parts = []
    for shift in shifts:
        move = [
            (0, 0, 0),
            *((a, b - a - o, 0) for a, b, o in zip(shift, blocks, windows.outputs, strict=True)),
            (0, 0, 0),
        ]
        here = _blocked(lax.pad(g, np.zeros((), g.dtype), move), stride)
        if place is None:
            parts.append(here * _weights_of_a_block(weights, stride, shift).astype(g.dtype))
        else:
            there = _blocked(lax.pad(place, np.zeros((), place.dtype), move), stride)
            parts.append(jnp.where(there == _taps_of_a_block(window, stride, shift), here, 0))
    blocked = reduce(jnp.add, parts)
    whole = blocked.reshape(g.shape[0], *(b * s for b, s in zip(blocks, stride, strict=True)), g.shape[-1])
    return lax.slice(whole, (0,) * g.ndim, (g.shape[0], *size, g.shape[-1]))


def _blocked(a: Array, stride: tuple[int, ...]) -> Array:
    """Repeat every pixel over a block: ``[batch, b1, s1, b2, s2, ..., channels]``."""
    batch, *spatial, channels = a.shape
    single = [n for size in spatial for n in (size, 1)]
    full = [n for size, s in zip(spatial, stride, strict=True) for n in (size, s)]
    return jnp.broadcast_to(a.reshape(batch, *single, channels), (batch, *full, channels))


def _taps_of_a_block(window: tuple[int, ...], stride: tuple[int, ...], shift: tuple[int, ...]) -> np.ndarray:
    """Return which tap each pixel of a block is for the window ``shift`` blocks before; -1 where the window has ended."""
    tap = np.zeros((), np.int32)
    for k, s, a in zip(window, stride, shift, strict=True):
        along = a * s + np.arange(s, dtype=np.int32)
        ended = (tap[..., None] < 0) | (along >= k)
        tap = np.where(ended, -1, tap[..., None] * k + along)
    return _per_block(tap)


def _weights_of_a_block(weights: Weights, stride: tuple[int, ...], shift: tuple[int, ...]) -> np.ndarray:
    """Return the weight of each pixel of a block in the window ``shift`` blocks before; 0 where the window has ended."""
    product_of = np.ones(())
    for factors, s, a in zip(weights, stride, shift, strict=True):
        along = np.zeros(s)
        here = factors[a * s : a * s + s]
        along[: len(here)] = here
        product_of = product_of[..., None] * along
    return _per_block(product_of)


def _per_block(values: np.ndarray) -> np.ndarray:
    """Lay one value for each pixel of a block beside ``[batch, b1, s1, b2, s2, ..., channels]``."""
    return values.reshape(1, *(n for s in values.shape for n in (1, s)), 1)


pick = adjoint_pair("pick_place", _pick, _place, constants=1)
weighted_sum = adjoint_pair("weighted_sum", _sum, _spread)
