"""Sliding windows read as slices of a padded map, the rims apart from the inside."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from jax import Array, lax

from strideflax.kernels.padding import take_every
from strideflax.window import Window


class Strip(NamedTuple):
    """A part of a map along one axis, from `start` to `stop`, and the padding before and after it."""

    start: int
    stop: int
    low: int
    high: int


Region: TypeAlias = Sequence[Strip]
Read: TypeAlias = Callable[..., tuple[Array, ...]]  # read(region, *parts of the maps)


def read_by_region(maps: tuple[Array, ...], window: Window, fill: float, read: Read) -> tuple[Array, ...]:
    """Return ``read`` of the maps padded with ``fill``, put together from the windows inside them and those at each rim.

    For a 3 x 3 window on a padded map that is nine calls of ``read``: the corners, the edges and the inside.

    XLA does not vectorise a loop that reads through a pad, and a pad on its own is a copy of the map. Here the many windows
    that lie inside read the map as it is, and only the strips at the rims are padded.
    """
    map_size = maps[0].shape[1:-1]
    strips = [_strips(window, map_size, axis) for axis in range(window.axes)]
    blocks = []
    for region in itertools.product(*strips):
        parts = [_cut(part, region, fill) for part in maps]
        blocks.append(read(region, *parts))
    for axis in reversed(range(window.axes)):  # neighbours along the last axis stand next to each other
        count = len(strips[axis])
        rows = [blocks[first : first + count] for first in range(0, len(blocks), count)]
        blocks = [_joined(row, axis + 1) for row in rows]
    return blocks[0]


def _strips(window: Window, map_size: Sequence[int], axis: int) -> list[Strip]:
    """Return the parts of the map that the windows at its low rim, those inside and those at its high rim read."""
    n, s, (low, _) = map_size[axis], window.stride[axis], window.pads[axis]
    count, reach = window.output_size(map_size)[axis], window.extent[axis]
    first_inside, first_after = -(-low // s), min((n + low - reach) // s + 1, count)
    cuts = sorted({0, first_inside, first_after, count}) if first_inside < first_after else [0, count]
    strips = []
    for first, end in itertools.pairwise(cuts):
        start, stop = first * s - low, (end - 1) * s - low + reach
        kept_start, kept_stop = min(max(start, 0), n), min(max(stop, 0), n)
        strips.append(Strip(kept_start, kept_stop, kept_start - start, stop - kept_stop))
    return strips


def _cut(x: Array, region: Region, fill: float) -> Array:
    for axis, strip in enumerate(region, start=1):
        x = lax.slice_in_dim(x, strip.start, strip.stop, axis=axis)
        if strip.low or strip.high:
            edges = [(0, 0, 0)] * x.ndim
            edges[axis] = (strip.low, strip.high, 0)
            x = lax.pad(x, np.asarray(fill, x.dtype), edges)
    return x


def _joined(row: Sequence[tuple[Array, ...]], axis: int) -> tuple[Array, ...]:
    if len(row) == 1:
        return row[0]
    return tuple(lax.concatenate(parts, axis) for parts in zip(*row, strict=True))


def pixels_of(x: Array, window: Window) -> Iterator[Array]:
    """Yield the first pixel of every window, then the second, in row-major order: ``[batch, *outputs, channels]`` each."""
    outputs = window.output_size(x.shape[1:-1])
    for tap in np.ndindex(*window.size):
        first = [t * d for t, d in zip(tap, window.dilation, strict=True)]
        yield take_every(x, first, outputs, window.stride)


def pixels_along(x: Array, window: Window, axis: int) -> list[Array]:
    """Return the first pixels of all windows along one spatial axis, then the second ones, and so on."""
    size, stride, dilation = window.size[axis], window.stride[axis], window.dilation[axis]
    count = (x.shape[axis + 1] - window.extent[axis]) // stride + 1
    taps = []
    for first in range(0, size * dilation, dilation):
        taps.append(lax.slice_in_dim(x, first, first + (count - 1) * stride + 1, stride, axis + 1))
    return taps
