"""Averages over areas, for maps whose sizes do not divide, and shifts by a part of a pixel."""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

FloatArray = TypeVar("FloatArray", np.ndarray, jax.Array)


def area_weights(size: int, cells: int) -> np.ndarray:
    """Return ``[cells, size]`` weights that average ``size`` pixels over ``cells`` equal areas; each row sums to 1.

    >>> area_weights(3, 2) * 1.5
    array([[1. , 0.5, 0. ],
           [0. , 0.5, 1. ]])
    """
    edges = np.arange(cells + 1) * (size / cells)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.maximum(overlap, 0) * (cells / size)


def fourier_shift(x: FloatArray, pixels: float, axis: int) -> FloatArray:
    """Shift float ``x`` circularly by ``pixels``, whole or not, along ``axis``, by the shift theorem.

    Each frequency is turned by its phase. The Nyquist frequency of an even size cannot be turned in a real image: only
    its cosine stays. NumPy arrays are shifted on the host, in their own precision.
    """
    fft = jnp.fft if isinstance(x, jax.Array) else np.fft
    size = x.shape[axis]
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) * pixels / size)
    if x.dtype != np.float64:
        turn = turn.astype(np.complex64)
    shape = [1] * x.ndim
    shape[axis] = len(turn)
    return fft.irfft(fft.rfft(x, axis=axis) * turn.reshape(shape), size, axis=axis)
