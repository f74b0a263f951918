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
from strideflax.operators.geometry import padded_output_size


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
    for axis, (k, s, d, o) in enumerate(zip(*windows[1:], windows.outputs, strict=True), start=1):
        x = reduce(combine, [lax.slice_in_dim(x, t * d, t * d + (o - 1) * s + 1, s, axis) for t in range(k)])
    return x


def pixels(x: Array, windows: Windows) -> Iterator[Array]:
    """Yield the first pixel of every window, then the second, in row-major order: ``[batch, *outputs, channels]`` each."""
    outputs = windows.outputs
    for tap in np.ndindex(*windows.window):
        first = [t * d for t, d in zip(tap, windows.dilation, strict=True)]
        stop = [f + (o - 1) * s + 1 for f, o, s in zip(first, outputs, windows.stride, strict=True)]
        yield lax.slice(x, (0, *first, 0), (x.shape[0], *stop, x.shape[-1]), (1, *windows.stride, 1))


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
    return _gathered(g, windows, place)


def _sum(x: Array, *, windows: Windows) -> Array:
    return fold(x, windows, jnp.add)


def _spread(g: Array, *, windows: Windows) -> Array:
    return _gathered(g, windows, None)


def _gathered(g: Array, windows: Windows, place: Array | None) -> Array:
    """Return for every pixel the sum of ``g`` over the windows that hold it (that hold it at their ``place``).

    Pixel ``s i + r`` is tap ``s a + r`` of window ``i - a``. So the map is a grid of blocks of s pixels, and for each ``a``
    a block reads one window: a broadcast, masked by where the tap ends or by where the maximum lies.
    """
    size, window, stride, dilation = windows
    if any(d > 1 for d in dilation):
        x = jax.ShapeDtypeStruct((g.shape[0], *size, g.shape[-1]), g.dtype)
        read = partial(_sum, windows=windows) if place is None else lambda x: _pick(x, place, windows=windows)
        return jax.linear_transpose(read, x)(g)[0]
    blocks = [-(-n // s) for n, s in zip(size, stride, strict=True)]
    shifts = list(product(*(range(-(-k // s)) for k, s in zip(window, stride, strict=True))))
    if len(shifts) > 1:  # without the barrier XLA would compute both again for every block that reads them
        g, place = lax.optimization_barrier((g, place))
    total = None
    for shift in shifts:
        move = [
            (0, 0, 0),
            *((a, b - a - o, 0) for a, b, o in zip(shift, blocks, windows.outputs, strict=True)),
            (0, 0, 0),
        ]
        tap, inside = _taps_of_a_block(window, stride, shift)
        here = _blocked(lax.pad(g, np.zeros((), g.dtype), move), stride)
        if place is None:
            mask = inside
        else:
            mask = inside & (
                _blocked(lax.pad(place, np.zeros((), place.dtype), move), stride) == tap.astype(place.dtype)
            )
        part = here if place is None and inside.all() else jnp.where(mask, here, 0)
        total = part if total is None else total + part
    assert total is not None
    whole = total.reshape(g.shape[0], *(b * s for b, s in zip(blocks, stride, strict=True)), g.shape[-1])
    return lax.slice(whole, (0,) * g.ndim, (g.shape[0], *size, g.shape[-1]))


def _blocked(a: Array, stride: tuple[int, ...]) -> Array:
    """Repeat every pixel over a block: ``[batch, b1, s1, b2, s2, ..., channels]``."""
    batch, *spatial, channels = a.shape
    single = [n for size in spatial for n in (size, 1)]
    full = [n for size, s in zip(spatial, stride, strict=True) for n in (size, s)]
    return jnp.broadcast_to(a.reshape(batch, *single, channels), (batch, *full, channels))


def _taps_of_a_block(
    window: tuple[int, ...], stride: tuple[int, ...], shift: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return which tap each pixel of a block is for the window ``shift`` blocks before, and whether the window has it."""
    tap, inside = np.zeros((1,), np.int32), np.ones((1,), bool)
    for k, s, a in zip(window, stride, shift, strict=True):
        along = a * s + np.arange(s, dtype=np.int32)
        tap = tap[..., None] * k + along
        inside = inside[..., None] & (along < k)
    shape = [1, *(n for s in stride for n in (1, s)), 1]
    return tap.reshape(shape), inside.reshape(shape)


pick = adjoint_pair("pick_place", _pick, _place, constants=1)
total = adjoint_pair("window_sum", _sum, _spread)
