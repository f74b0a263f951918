"""Test images with known content: a bump, a checkerboard, a chirp of stripes, a zone plate, a spectrogram.

All are float32 in [0, 1], ``[rows, columns]``, drawn from formulas. Frequencies count cycles per pixel; no image can
hold more than 1/2, and every second pixel of it no more than 1/4.
"""

import numpy as np
from numpy.typing import NDArray


def bump(size: int, first: int, width: int, ramp: int = 0) -> NDArray[np.float32]:
    """Return a light band, ``width`` columns wide, on dark ground, ``size`` x ``size``.

    The rising edge reaches 1/2 at column ``first - 1/2`` and the falling one ``width`` further on. With ``ramp`` the
    edges are that many columns wide; with 0 they are sharp, and ``first`` is the first light column.
    """
    column = np.arange(size) - (first - 0.5)
    distance = np.minimum(column, width - column)
    profile = np.clip(distance / ramp + 0.5, 0, 1) if ramp else distance > 0
    return np.tile(profile.astype(np.float32), (size, 1))


def checkerboard(size: int, shift: int = 0) -> NDArray[np.float32]:
    """Return single light and dark pixels in turn, moved right by ``shift``; the top left one is light at shift 0."""
    row, column = np.ogrid[:size, :size]
    return ((row + column - shift) % 2 == 0).astype(np.float32)


def stripe_chirp(columns: int, rows: int) -> NDArray[np.float32]:
    """Return vertical stripes, ``cos(pi c^2 / (2 columns))``: 0 cycles per pixel on the left, 1/2 on the right."""
    column = np.arange(columns)
    profile = 0.5 + 0.5 * np.cos(np.pi * column**2 / (2 * columns))
    return np.tile(profile.astype(np.float32), (rows, 1))


def stripes(cycles_per_pixel: float, size: int) -> NDArray[np.float32]:
    """Return vertical sine stripes of one frequency, ``size`` x ``size``."""
    profile = 0.5 + 0.5 * np.cos(2 * np.pi * cycles_per_pixel * np.arange(size))
    return np.tile(profile.astype(np.float32), (size, 1))


def zone_plate(size: int) -> NDArray[np.float32]:
    """Return rings that get finer outwards, ``cos(pi r^2 / size)``: ``r / size`` cycles per pixel at distance ``r``.

    The finest that pixels can hold is reached at the middle of each side.
    """
    row, column = (axis - (size - 1) / 2 for axis in np.ogrid[:size, :size])
    return (0.5 + 0.5 * np.cos(np.pi * (row**2 + column**2) / size)).astype(np.float32)


def spectrogram(frequencies: int = 24, times: int = 120) -> NDArray[np.float32]:
    """Return the loudness of a made-up sound by frequency (row 0: lowest) and time: a gliding tone, a hum, clicks."""
    frequency, time = np.ogrid[:frequencies, :times]
    glide = 0.35 * frequencies + 0.45 * frequencies * np.sin(2 * np.pi * time / times) ** 2
    tone = np.exp(-0.5 * ((frequency - glide) / 0.8) ** 2)
    hum = 0.8 * (np.abs(frequency - 3) < 0.5) * np.ones_like(time)
    clicks = 0.9 * (time % 20 == 9) * np.exp(-frequency / (0.6 * frequencies))
    return np.clip(tone + hum + clicks, 0, 1).astype(np.float32)
