"""Averaging over areas, for maps whose sizes do not divide."""

import numpy as np


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
