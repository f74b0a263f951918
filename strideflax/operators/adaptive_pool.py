"""Pools that are told the size of their output, as PyTorch's adaptive pools: the map is cut into that many bins."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import jax.numpy as jnp
from jax import Array, lax

from strideflax.operators.geometry import per_axis, spatial_size
from strideflax.operators.pool import max_over, mean_over
from strideflax.window import Window

OutputSize = int | None | Sequence[int | None]


def adaptive_avg_pool(x: Array, size: OutputSize) -> Array:
    """Take the mean of each of ``size`` bins per axis, whatever the map's size; size 1 is the global average.

    Bin ``i`` of ``o`` over ``n`` pixels reaches from ``floor(i n / o)`` to ``ceil((i + 1) n / o)``, as in PyTorch: neighbours
    share a pixel where ``o`` does not divide ``n``, and there may be more bins than pixels.

    Args:
        x: ``[batch, *spatial, channels]``, floating point, one to three spatial axes.
        size: of the output, an int, or one per axis; None leaves an axis as it is.

    Returns:
        ``[batch, *size, channels]``; means are taken in float32 or better.

    Raises:
        ValueError: a size or rank that does not fit.
    """
    x = jnp.asarray(x)
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return _over_bins(wide, size, mean_over).astype(jnp.result_type(x.dtype, float))


def adaptive_max_pool(x: Array, size: OutputSize) -> Array:
    """Take the maximum of each of ``size`` bins per axis, whatever the map's size; bins as in `adaptive_avg_pool`.

    Args:
        x: ``[batch, *spatial, channels]``, one to three spatial axes.
        size: of the output, an int, or one per axis; None leaves an axis as it is.

    Returns:
        ``[batch, *size, channels]`` in the type of ``x``. Where values tie, the first in row-major order gets the gradient.

    Raises:
        ValueError: a size or rank that does not fit.
    """
    return _over_bins(jnp.asarray(x), size, max_over)


def _over_bins(x: Array, size: OutputSize, reduce: Callable[[Array, Window], Array]) -> Array:
    """Reduce each axis to its bins, the last one first, so that the first of equal values in row-major order is found."""
    map_size = spatial_size(x)
    axes = len(map_size)
    wanted = tuple(size) if isinstance(size, Sequence) else (size,) * axes
    if len(wanted) != axes:
        raise ValueError(f"size must be an int >= 1, None, or {axes} of them (one per spatial axis), got {size!r}")
    sizes = per_axis(tuple(n if o is None else o for n, o in zip(map_size, wanted, strict=True)), axes, "size")
    for axis in reversed(range(axes)):
        x = _bins_along(x, axis, sizes[axis], reduce)
    return x


def _bins_along(x: Array, axis: int, count: int, reduce: Callable[[Array, Window], Array]) -> Array:
    """Reduce one spatial axis to ``count`` bins.

    With ``g`` the greatest common divisor of ``n`` and ``count``, bin ``i + count / g`` is bin ``i`` moved by ``n / g`` pixels:
    so ``count / g`` windows, each at ``g`` places, are all bins.
    """
    n, axes = x.shape[axis + 1], x.ndim - 2
    places = math.gcd(n, count)
    kinds, step = count // places, n // places
    ones = (1,) * axes
    parts = []
    for kind in range(kinds):
        first, end = kind * n // count, -(-(kind + 1) * n // count)
        part = lax.slice_in_dim(x, first, (places - 1) * step + end, axis=axis + 1)
        window = Window.dense((*ones[:axis], end - first, *ones[axis + 1 :]))
        parts.append(reduce(part, replace(window, stride=(*ones[:axis], step, *ones[axis + 1 :]))))
    if kinds == 1:
        return parts[0]
    return jnp.stack(parts, axis + 2).reshape(*x.shape[: axis + 1], count, *x.shape[axis + 2 :])
