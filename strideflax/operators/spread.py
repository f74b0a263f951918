"""Filters spread over a finer map: the transpose of filters that gather pixels into a coarser one.

Each fine pixel is divided by the weights that reached it, so that a constant stays that constant.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from strideflax.kernels import window_sum
from strideflax.operators.geometry import MODULE_PADDINGS, border_of
from strideflax.window import Window


@partial(jax.jit, static_argnames=("size", "stride", "lows", "filters", "padding"))
def spread(
    x: Array,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    lows: tuple[int, ...],
    filters: tuple[tuple[float, ...], ...],
    padding: str,
) -> Array:
    """Add the filters to a fine map, one for each coarse pixel from ``stride * i - low`` on, over the sum of their weights."""
    if padding not in MODULE_PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(MODULE_PADDINGS)}, got {padding!r}")
    border = border_of(padding) if padding == "CIRCULAR" else "zeros"
    pads = []
    for n, coarse, s, low, weights in zip(size, x.shape[1:-1], stride, lows, filters, strict=True):
        pads.append((low, (coarse - 1) * s + len(weights) - low - n))
    taps = tuple(len(weights) for weights in filters)
    window = Window(size=taps, stride=stride, pads=tuple(pads), dilation=(1,) * len(stride), border=border)
    wide = jnp.promote_types(x.dtype, jnp.float32)
    factors = tuple(tuple(map(float, weights)) for weights in filters)
    fine = jax.ShapeDtypeStruct((x.shape[0], *size, x.shape[-1]), wide)
    (y,) = jax.linear_transpose(lambda fine: window_sum(fine, window, factors), fine)(x.astype(wide))
    for axis, n in enumerate(size):
        total = _arriving_weight(n, x.shape[axis + 1], stride[axis], lows[axis], filters[axis], border == "wrap")
        y = y / lax.expand_dims(jnp.asarray(total, wide), [a for a in range(y.ndim) if a != axis + 1])
    return y.astype(jnp.result_type(x.dtype, float))


def _arriving_weight(
    size: int, coarse: int, stride: int, low: int, weights: Sequence[float], wraps: bool
) -> np.ndarray:
    """Return the sum of the weights that reach each of ``size`` fine pixels along one axis."""
    total = np.zeros(size)
    for start in range(-low, coarse * stride - low, stride):
        places = start + np.arange(len(weights))
        inside = (places >= 0) & (places < size)
        np.add.at(total, places % size if wraps else places[inside], weights if wraps else np.asarray(weights)[inside])
    return total
