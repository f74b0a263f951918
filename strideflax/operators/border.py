"""What every windowed operator asks of an array: which axes are space, what lies beyond their ends, every s-th pixel."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from strideflax.operators.geometry import Pads


def spatial_axes(x: Array) -> int:
    """Return the number of axes between batch and channels; 1, 2 and 3 are allowed, and no axis may be empty."""
    if x.ndim not in (3, 4, 5):
        raise ValueError(f"x must be [batch, *spatial, channels] with 1, 2 or 3 spatial axes, got shape {x.shape}")
    if 0 in x.shape[1:]:
        raise ValueError(f"x must have no empty spatial or channel axis, got shape {x.shape}")
    return x.ndim - 2


def pad_border(x: Array, pads: Pads, border: str, fill: float = 0.0) -> Array:
    """Pad the spatial axes of ``x`` with ``fill`` (border "zeros"), by wrapping ("wrap") or by mirroring ("reflect")."""
    if not any(map(any, pads)):
        return x
    widths = ((0, 0), *pads, (0, 0))
    if border == "zeros":
        return jnp.pad(x, widths, constant_values=np.asarray(fill, x.dtype))
    return jnp.pad(x, widths, mode=border)


def frame(x: Array, pads: Pads, border: str) -> tuple[Array, Pads]:
    """Return ``x`` with wrapped or mirrored pixels around it, and the pads that are left: those of the border "zeros"."""
    return (x, pads) if border == "zeros" else (pad_border(x, pads, border), ())


def every(x: Array, first: Sequence[int], count: Sequence[int], stride: Sequence[int]) -> Array:
    """Take ``count`` pixels from ``first`` on, ``stride`` apart, along each spatial axis."""
    stop = [f + (c - 1) * s + 1 for f, c, s in zip(first, count, stride, strict=True)]
    return lax.slice(x, (0, *first, 0), (x.shape[0], *stop, x.shape[-1]), (1, *stride, 1))
