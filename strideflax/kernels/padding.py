"""What lies beyond a map's ends, and every s-th pixel of it: the two things that all formulations do to an array."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from strideflax.window import Pads, Window


def pad_border(x: Array, pads: Pads, border: str = "zeros", fill: float = 0.0) -> Array:
    """Pad the spatial axes of ``x`` with ``fill`` (border "zeros"), by wrapping ("wrap") or by mirroring ("reflect")."""
    if not any(low or high for low, high in pads):
        return x
    widths = ((0, 0), *pads, (0, 0))
    if border == "zeros":
        return jnp.pad(x, widths, constant_values=np.asarray(fill, x.dtype))
    return jnp.pad(x, widths, mode=border)


def fill_border(x: Array, window: Window) -> tuple[Array, Window]:
    """Return ``x`` with the pixels that a wrapped or mirrored border copies, and the window over that larger map.

    With the border "zeros" both stay as they are: each formulation has its own way to leave zeros out.
    """
    if window.border == "zeros":
        return x, window
    return pad_border(x, window.pads, window.border), window.without_pads()


def take_every(x: Array, first: Sequence[int], count: Sequence[int], stride: Sequence[int]) -> Array:
    """Take ``count`` pixels from ``first`` on, ``stride`` apart, along each spatial axis."""
    stop = [f + (c - 1) * s + 1 for f, c, s in zip(first, count, stride, strict=True)]
    return lax.slice(x, (0, *first, 0), (x.shape[0], *stop, x.shape[-1]), (1, *stride, 1))
