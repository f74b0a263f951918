"""Sliding windows over padded maps, read two ways: every window its pixels, and every pixel the windows over it.

Both ways are elementwise operations on slices, which XLA fuses. Scattering, the transpose that JAX would derive by
itself, is slow on a CPU, and so is `lax.reduce_window`, whose max gradient is a select-and-scatter.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial, reduce
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from strideflax.kernels.padding import fill_border, pad_border, take_every
from strideflax.kernels.primitives import adjoint_pair
from strideflax.kernels.regions import Region, pixels_along, pixels_of, read_by_region
from strideflax.window import Window

MANY_CHANNELS = 64  # from which XLA's own maximum of disjoint bfloat16 windows is faster, where no gradient is taken

Weights: TypeAlias = tuple[tuple[float, ...], ...]  # one for each tap of each spatial axis; a pixel's is their product


def window_max(x: Array, window: Window, *, implementation: str = "auto") -> Array:
    """Return the maximum of every window, ``[batch, *output_size, channels]``; NaN is the largest, padding the smallest.

    The first of equal values in row-major order gets the gradient.
    """
    x, window = fill_border(x, window)
    if jnp.issubdtype(x.dtype, jnp.floating):
        return _reduce(x, window, -np.inf, lax.max) if implementation == "lax" else _maximum(x, window)
    lowest = False if x.dtype == bool else jnp.iinfo(x.dtype).min
    if implementation == "lax":
        return _reduce(x, window, lowest, lax.max)
    return _fold(x, window, jnp.maximum, lowest)


def window_sum(x: Array, window: Window, weights: Weights | None = None, *, implementation: str = "auto") -> Array:
    """Return the sum over every window, ``[batch, *output_size, channels]``, each axis with its own weights.

    Args:
        x: ``[batch, *spatial, channels]``; the sum is in its type.
        window: where the windows lie; zeros around the map add nothing.
        weights: per spatial axis one factor for each tap; None is 1 everywhere.
        implementation: "lax" is XLA's `reduce_window`, for sums without weights.
    """
    x, window = fill_border(x, window)
    if implementation == "lax" and weights is None:
        return _reduce(x, window, 0, lax.add)
    if weights is None:
        weights = tuple((1.0,) * k for k in window.size)
    return _weighted_sum(x, map_size=x.shape[1:-1], window=window, weights=weights)


def window_pixels(x: Array, window: Window) -> tuple[Array, np.ndarray]:
    """Return the pixels of every window, and which of them are real.

    For operators that weigh a window's pixels against each other; sums and maxima are cheaper by the functions above. The
    pixels are at least float32, so that sums, powers and exponentials over them are safe for bfloat16 input.

    Returns:
        The pixels ``[batch, *output_size, taps, channels]``, taps in row-major order, 0 on zero padding; and a constant
        bool ``[1, *output_size, taps, 1]``, False on zero padding alone (mirrored and wrapped pixels are real).
    """
    x, window = fill_border(x.astype(jnp.promote_types(x.dtype, jnp.float32)), window)
    real = np.ones((1, 1), bool)
    for inside in window.taps_inside(x.shape[1:-1]):
        outputs = len(inside)
        real = (real[..., None, :, None] & inside[:, None, :]).reshape(*real.shape[:-1], outputs, -1)
    padded = pad_border(x, window.pads)
    return jnp.stack(list(pixels_of(padded, window.without_pads())), axis=-2), real[..., None]


# The maximum.


def _fold(x: Array, window: Window, combine: Callable[[Array, Array], Array], fill: float) -> Array:
    """Combine the pixels of every window with an associative ``combine``, axis by axis, so that k x k costs 2k slices."""

    def read(region: Region, part: Array) -> tuple[Array]:
        for axis in range(window.axes):
            part = reduce(combine, pixels_along(part, window, axis))
        return (part,)

    return read_by_region((x,), window, fill, read)[0]


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _maximum(x: Array, window: Window) -> Array:
    disjoint = window.size == window.stride and not window.is_padded
    if x.dtype == jnp.bfloat16 and x.shape[-1] >= MANY_CHANNELS and disjoint:
        return _reduce(x, window, -np.inf, lax.max)
    wide = jnp.promote_types(x.dtype, jnp.float32)  # XLA would round bfloat16 after every single maximum
    return _fold(x.astype(wide), window, jnp.maximum, -np.inf).astype(x.dtype)


@_maximum.defjvp
def _maximum_jvp(window: Window, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    best, place = _largest(*primals, window)
    return best, _pick_place(*tangents, place, map_size=primals[0].shape[1:-1], window=window)


def _largest(x: Array, window: Window) -> tuple[Array, Array]:
    """Return the maximum of every window and the place of its first occurrence in row-major order."""
    places = np.uint8 if np.prod(window.size) <= 255 else np.int32

    def read(region: Region, part: Array) -> tuple[Array, Array]:
        taps = pixels_of(part, window.without_pads())
        best = next(taps)
        place = jnp.broadcast_to(_first_real_tap(window, region).astype(places), best.shape)
        for number, pixel in enumerate(taps, start=1):
            better = (pixel > best) | (pixel != pixel)
            best, place = jnp.where(better, pixel, best), jnp.where(better, places(number), place)
        return best, place

    best, place = read_by_region((x,), window, -np.inf, read)
    return best, place


def _first_real_tap(window: Window, region: Region) -> np.ndarray:
    """Return for each window of a region the first tap that is not on padding, ``[1, *outputs, 1]``.

    A window of minus infinity alone gives its gradient to that pixel, as in PyTorch, and not to the padding.
    """
    pads, size = tuple((strip.low, strip.high) for strip in region), [strip.stop - strip.start for strip in region]
    first = np.zeros((), int)
    for k, inside in zip(window.size, replace(window, pads=pads).taps_inside(size), strict=True):
        first = first[..., None] * k + inside.argmax(1)
    return first[None, ..., None]


def _reduce(x: Array, window: Window, start: float, combine: Callable) -> Array:
    """The plain formulation: XLA's `reduce_window`."""
    return lax.reduce_window(
        x,
        np.asarray(start, x.dtype),
        combine,
        (1, *window.size, 1),
        (1, *window.stride, 1),
        ((0, 0), *window.pads, (0, 0)),
        window_dilation=(1, *window.dilation, 1),
    )


# The two linear functions and their transposes.


def _sum(x: Array, *, map_size: tuple[int, ...], window: Window, weights: Weights) -> Array:
    def read(region: Region, part: Array) -> tuple[Array]:
        for axis, factors in enumerate(weights):
            taps = pixels_along(part, window, axis)
            part = reduce(jnp.add, [tap * np.asarray(w, x.dtype) for tap, w in zip(taps, factors, strict=True)])
        return (part,)

    return read_by_region((x,), window, 0, read)[0]


def _sum_transposed(g: Array, *, map_size: tuple[int, ...], window: Window, weights: Weights) -> Array:
    if max(window.dilation) > 1:
        return _derived_transpose(partial(_sum, map_size=map_size, window=window, weights=weights), g, map_size)

    def term(gradient: Array, shift: tuple[int, ...]) -> Array:
        return gradient * _weights_of_a_block(weights, window.stride, shift).astype(gradient.dtype)

    return _gathered((g,), map_size, window, term)


def _pick(x: Array, place: Array, *, map_size: tuple[int, ...], window: Window) -> Array:
    """Return of every window the pixel at its ``place``."""
    taps = pixels_of(pad_border(x, window.pads), window.without_pads())
    return reduce(jnp.add, [jnp.where(place == number, tap, 0) for number, tap in enumerate(taps)])


def _pick_transposed(g: Array, place: Array, *, map_size: tuple[int, ...], window: Window) -> Array:
    if max(window.dilation) > 1:
        return _derived_transpose(partial(_pick, place=place, map_size=map_size, window=window), g, map_size)

    def term(gradient: Array, shift: tuple[int, ...], chosen: Array) -> Array:
        return jnp.where(chosen.astype(np.int32) == _taps_of_a_block(window, shift), gradient, 0)

    return _gathered((g, place), map_size, window, term)


def _derived_transpose(function: Callable[[Array], Array], g: Array, map_size: tuple[int, ...]) -> Array:
    """The transpose that JAX derives; dilated windows are rare, and their pixels are not neighbours."""
    x = jax.ShapeDtypeStruct((g.shape[0], *map_size, g.shape[-1]), g.dtype)
    return jax.linear_transpose(function, x)(g)[0]


def _gathered(maps: tuple[Array, ...], map_size: tuple[int, ...], window: Window, term: Callable[..., Array]) -> Array:
    """Return for every pixel the sum of ``term`` over the windows that hold it.

    Pixel ``s i + r`` is tap ``s a + r`` of window ``i - a``. So the map is a grid of blocks of s pixels, and for each ``a``
    a block reads one window: a broadcast, times the weights of the block's taps, or masked by where the maximum lies. The
    windows that blocks read are neighbours, so reading them is itself a walk of windows over the gradient.

    Args:
        maps: the gradient, and what else there is of each window.
        map_size: of the result.
        window: without dilation.
        term: ``term(gradient, a, *others)``, all with every window repeated over a block.
    """
    g = maps[0]
    stride, outputs = window.stride, window.output_size(map_size)
    wide = jnp.promote_types(g.dtype, jnp.float32)  # XLA would round bfloat16 after every addition
    reach = [-(-k // s) for k, s in zip(window.size, stride, strict=True)]
    edges = []
    for axis, (n, (low, _)) in enumerate(zip(map_size, window.pads, strict=True)):
        blocks = -(-(low + n) // stride[axis])
        edges.append((reach[axis] - 1, blocks - outputs[axis]))
    around = Window.dense(reach, pads=tuple(edges))

    def read(region: Region, *parts: Array) -> tuple[Array]:
        neighbours = [pixels_of(part, around.without_pads()) for part in parts]
        terms = []
        for before, *here in zip(np.ndindex(*reach), *neighbours, strict=True):
            shift = tuple(r - 1 - b for r, b in zip(reach, before, strict=True))
            gradient, *others = (_repeated_over_blocks(part, stride) for part in here)
            terms.append(term(gradient.astype(wide), shift, *others))
        total = reduce(jnp.add, terms).astype(g.dtype)
        blocks = around.without_pads().output_size(parts[0].shape[1:-1])
        spatial = [b * s for b, s in zip(blocks, stride, strict=True)]
        return (total.reshape(g.shape[0], *spatial, g.shape[-1]),)

    if max(reach) > 1:  # without the barrier XLA would compute them again for every block that reads them
        maps = lax.optimization_barrier(maps)
    (whole,) = read_by_region(maps, around, 0, read)
    return take_every(whole, [low for low, _ in window.pads], map_size, (1,) * window.axes)


def _repeated_over_blocks(a: Array, stride: tuple[int, ...]) -> Array:
    """Repeat every pixel over a block: ``[batch, b1, s1, b2, s2, ..., channels]``."""
    batch, *spatial, channels = a.shape
    single, full = [], []
    for size, s in zip(spatial, stride, strict=True):
        single += [size, 1]
        full += [size, s]
    return jnp.broadcast_to(a.reshape(batch, *single, channels), (batch, *full, channels))


def _taps_of_a_block(window: Window, shift: tuple[int, ...]) -> np.ndarray:
    """Return which tap each pixel of a block is for the window ``shift`` blocks before; -1 where it has ended."""
    tap, ended = np.zeros((), np.int64), np.zeros((), bool)
    for k, s, a in zip(window.size, window.stride, shift, strict=True):
        along = a * s + np.arange(s)
        tap = tap[..., None] * k + along
        ended = ended[..., None] | (along >= k)
    return _beside_blocks(np.where(ended, -1, tap).astype(np.int32))


def _weights_of_a_block(weights: Weights, stride: tuple[int, ...], shift: tuple[int, ...]) -> np.ndarray:
    """Return the weight of each pixel of a block in the window ``shift`` blocks before; 0 where the window has ended."""
    product = np.ones(())
    for factors, s, a in zip(weights, stride, shift, strict=True):
        along = np.zeros(s)
        here = factors[a * s : a * s + s]
        along[: len(here)] = here
        product = product[..., None] * along
    return _beside_blocks(product)


def _beside_blocks(values: np.ndarray) -> np.ndarray:
    """Lay one value for each pixel of a block beside ``[batch, b1, s1, b2, s2, ..., channels]``."""
    shape: list[Any] = []
    for s in values.shape:
        shape += [1, s]
    return values.reshape(1, *shape, 1)


_pick_place = adjoint_pair("pick_place", _pick, _pick_transposed, constants=1)
_weighted_sum = adjoint_pair("weighted_sum", _sum, _sum_transposed)
