"""Sliding windows over padded maps, read two ways: every window its pixels, and every pixel the windows over it.

Both ways are elementwise operations on slices, which XLA fuses. Scattering, the transpose that JAX would derive by
itself, is slow on a CPU, and so is `lax.reduce_window`, whose max gradient is a select-and-scatter.
"""

from collections.abc import Callable, Iterator
from functools import partial, reduce
from itertools import pairwise, product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from strideflax.operators.adjoint import adjoint_pair
from strideflax.operators.border import every, pad_border
from strideflax.operators.geometry import Pads, extent, padded_output_size

Weights = tuple[tuple[float, ...], ...]  # one for each tap of each spatial axis; a pixel's weight is their product


class Windows(NamedTuple):
    """Where the windows lie, per spatial axis.

    Attributes:
        size: the map's.
        window, stride, dilation: of the windows.
        pads: what lies before and after the map, none if empty.
    """

    size: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: Pads = ()

    @property
    def borders(self) -> Pads:
        """The pads, one pair for each axis."""
        return self.pads or ((0, 0),) * len(self.size)

    @property
    def outputs(self) -> tuple[int, ...]:
        """The number of windows along each axis."""
        return padded_output_size(self.size, self.window, self.stride, self.borders, self.dilation)

    def over(self, part: Array) -> "Windows":
        """Return windows of the same kind over the map ``part``, which has its padding in it."""
        return self._replace(size=part.shape[1:-1], pads=())


def fold(x: Array, windows: Windows, combine: Callable[[Array, Array], Array], fill: float) -> Array:
    """Combine the pixels of every window with an associative ``combine``, axis by axis, so that k x k costs 2k slices."""

    def read(part: Array) -> Array:
        for axis, slices in _along_each_axis(windows.over(part)):
            part = reduce(combine, slices(part, axis))
        return part

    return _by_region(x, windows, fill, read)


def _by_region(x: Array, windows: Windows, fill: float, read: Callable[[Array], Any]) -> Any:
    """Return ``read`` of the map padded with ``fill``, put together from the windows inside it and those at each rim.

    XLA does not vectorise a loop that reads through a pad, and a pad on its own is a copy of the map. Here the many windows
    that lie inside the map read it as it is, and only the strips at the rims are padded.
    """

    def along(axis: int, part: Array) -> Any:
        if axis == x.ndim - 1:
            return read(part)
        pieces = []
        for start, stop, pads in _strips(windows, axis - 1):
            strip = lax.slice_in_dim(part, start, stop, axis=axis)
            if any(pads):
                edges = [(0, 0, 0)] * x.ndim
                edges[axis] = (*pads, 0)
                strip = lax.pad(strip, np.asarray(fill, x.dtype), edges)
            pieces.append(along(axis + 1, strip))
        return jax.tree.map(lambda *parts: lax.concatenate(parts, axis), *pieces) if len(pieces) > 1 else pieces[0]

    return along(1, x)


def _strips(windows: Windows, axis: int) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Yield the parts of the map, from start to stop, that the windows at its rims and those inside read, with their pads."""
    size, stride, low = windows.size[axis], windows.stride[axis], windows.borders[axis][0]
    count, reach = windows.outputs[axis], extent(windows.window, windows.dilation)[axis]
    inside, after = -(-low // stride), min((size + low - reach) // stride + 1, count)
    cuts = sorted({0, inside, after, count}) if inside < after else [0, count]
    for first, end in pairwise(cuts):
        start, stop = first * stride - low, (end - 1) * stride - low + reach
        kept, left = (min(max(place, 0), size) for place in (start, stop))
        yield kept, left, (kept - start, stop - left)


def _along_each_axis(windows: Windows) -> Iterator[tuple[int, Callable[[Array, int], list[Array]]]]:
    """Yield each spatial axis and a function that returns the first pixels of all windows along it, the second ones, ..."""
    for axis, (k, s, d, o) in enumerate(zip(*windows[1:4], windows.outputs, strict=True), start=1):
        yield axis, partial(_slices, first=range(0, k * d, d), count=o, stride=s)


def _slices(x: Array, axis: int, *, first: range, count: int, stride: int) -> list[Array]:
    return [lax.slice_in_dim(x, f, f + (count - 1) * stride + 1, stride, axis) for f in first]


def pixels(x: Array, windows: Windows) -> Iterator[Array]:
    """Yield the first pixel of every window, then the second, in row-major order: ``[batch, *outputs, channels]`` each."""
    for tap in np.ndindex(*windows.window):
        first = [t * d for t, d in zip(tap, windows.dilation, strict=True)]
        yield every(x, first, windows.outputs, windows.stride)


def largest(x: Array, windows: Windows) -> tuple[Array, Array]:
    """Return the maximum of every window and the place of its first occurrence in row-major order; NaN is the largest.

    Around the map is minus infinity.
    """
    places = np.uint8 if np.prod(windows.window) <= 255 else np.int32

    def read(part: Array) -> tuple[Array, Array]:
        taps = pixels(part, windows.over(part))
        best = next(taps)
        place = jnp.zeros(best.shape, places)
        for number, pixel in enumerate(taps, start=1):
            better = (pixel > best) | (pixel != pixel)
            best, place = jnp.where(better, pixel, best), jnp.where(better, places(number), place)
        return best, place

    return _by_region(x, windows, -np.inf, read)


def _pick(x: Array, place: Array, *, windows: Windows) -> Array:
    x = pad_border(x, windows.borders, "zeros")
    picked = [jnp.where(place == number, pixel, 0) for number, pixel in enumerate(pixels(x, windows.over(x)))]
    return reduce(jnp.add, picked)


def _place(g: Array, place: Array, *, windows: Windows) -> Array:
    return _gathered(g, windows, place=place)


def _sum(x: Array, *, windows: Windows, weights: Weights) -> Array:
    def read(part: Array) -> Array:
        for (axis, slices), factors in zip(_along_each_axis(windows.over(part)), weights, strict=True):
            taps = zip(slices(part, axis), factors, strict=True)
            part = reduce(jnp.add, [pixel * np.asarray(w, x.dtype) for pixel, w in taps])
        return part

    return _by_region(x, windows, 0, read)


def _spread(g: Array, *, windows: Windows, weights: Weights) -> Array:
    return _gathered(g, windows, weights=weights)


def _gathered(g: Array, windows: Windows, *, place: Array | None = None, weights: Weights = ()) -> Array:
    """Return for every pixel the sum of ``g`` over the windows that hold it, weighted or only of those with it in ``place``.

    Pixel ``s i + r`` is tap ``s a + r`` of window ``i - a``. So the map is a grid of blocks of s pixels, and for each ``a``
    a block reads one window: a broadcast, times the weights of the block's taps, or masked by where the maximum lies.
    """
    size, window, stride, dilation, _ = windows
    if any(d > 1 for d in dilation):
        x = jax.ShapeDtypeStruct((g.shape[0], *size, g.shape[-1]), g.dtype)
        read = partial(_sum, weights=weights) if place is None else partial(_pick, place=place)
        return jax.linear_transpose(partial(read, windows=windows), x)(g)[0]
    blocks = [-(-(low + n) // s) for n, s, (low, _) in zip(size, stride, windows.borders, strict=True)]
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
    return every(whole, [low for low, _ in windows.borders], size, (1,) * len(size))


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
