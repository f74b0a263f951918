"""Sliding windows over padded maps, read two ways: every window its pixels, and every pixel the windows over it.

Both ways are elementwise operations on slices, which XLA fuses. Scattering, the transpose that JAX would derive by
itself, is slow on a CPU, and so is `lax.reduce_window`, whose max gradient is a select-and-scatter.
"""

from collections.abc import Callable, Iterator
from functools import partial, reduce
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from strideflax.kernels.adjoint import adjoint_pair
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


def _by_region(maps: Any, windows: Windows, fill: float, read: Callable[[Any], Any]) -> Any:
    """Return ``read`` of the maps padded with ``fill``, put together from the windows inside them and those at each rim.

    XLA does not vectorise a loop that reads through a pad, and a pad on its own is a copy of the map. Here the many windows
    that lie inside read the map as it is, and only the strips at the rims are padded.
    """

    def along(axis: int, parts: Any) -> Any:
        if axis > len(windows.size):
            return read(parts)
        pieces = [
            along(
                axis + 1, jax.tree.map(partial(_strip, axis=axis, start=start, stop=stop, pads=pads, fill=fill), parts)
            )
            for start, stop, pads in _strips(windows, axis - 1)
        ]
        return jax.tree.map(lambda *found: lax.concatenate(found, axis), *pieces) if len(pieces) > 1 else pieces[0]

    return along(1, maps)


def _strip(x: Array, *, axis: int, start: int, stop: int, pads: tuple[int, int], fill: float) -> Array:
    strip = lax.slice_in_dim(x, start, stop, axis=axis)
    edges = [(0, 0, 0)] * x.ndim
    edges[axis] = (*pads, 0)
    return lax.pad(strip, np.asarray(fill, x.dtype), edges) if any(pads) else strip


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
    a block reads one window: a broadcast, times the weights of the block's taps, or masked by where the maximum lies. The
    windows that blocks read are neighbours, so reading them is itself a walk of windows over ``g``.
    """
    size, window, stride, dilation, _ = windows
    if any(d > 1 for d in dilation):
        x = jax.ShapeDtypeStruct((g.shape[0], *size, g.shape[-1]), g.dtype)
        read = partial(_sum, weights=weights) if place is None else partial(_pick, place=place)
        return jax.linear_transpose(partial(read, windows=windows), x)(g)[0]
    wide = jnp.promote_types(g.dtype, jnp.float32)  # XLA would round bfloat16 after every addition
    blocks = [-(-(low + n) // s) for n, s, (low, _) in zip(size, stride, windows.borders, strict=True)]
    reach = tuple(-(-k // s) for k, s in zip(window, stride, strict=True))
    ones = (1,) * len(size)
    edges = tuple((r - 1, b - o) for r, b, o in zip(reach, blocks, windows.outputs, strict=True))
    around = Windows(windows.outputs, reach, ones, ones, edges)

    def gather(parts: tuple[Array, ...]) -> Array:
        terms = []
        for before, *here in zip(np.ndindex(*reach), *(pixels(part, around.over(part)) for part in parts), strict=True):
            shift = tuple(r - 1 - b for r, b in zip(reach, before, strict=True))
            gradient, *chosen = (_blocked(pixel, stride) for pixel in here)
            gradient = gradient.astype(wide)
            if chosen:
                terms.append(jnp.where(chosen[0] == _taps_of_a_block(window, stride, shift), gradient, 0))
            else:
                terms.append(gradient * _weights_of_a_block(weights, stride, shift).astype(wide))
        total = reduce(jnp.add, terms).astype(g.dtype)
        spatial = [b * s for b, s in zip(around.over(parts[0]).outputs, stride, strict=True)]
        return total.reshape(g.shape[0], *spatial, g.shape[-1])

    maps = (g,) if place is None else (g, place)
    if max(reach) > 1:  # without the barrier XLA would compute them again for every block that reads them
        maps = lax.optimization_barrier(maps)
    whole = _by_region(maps, around, 0, gather)
    return every(whole, [low for low, _ in windows.borders], size, ones)


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
