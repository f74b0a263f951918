"""What every windowed operator asks of an array first: which axes are space, and what lies beyond their ends."""

import jax.numpy as jnp
import numpy as np
from jax import Array

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
