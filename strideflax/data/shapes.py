"""The embedded data set: 32 x 32 images drawn by code from a seed, ten classes of coarse shapes with fine textures.

Five shapes come with two textures each, of a period of 2 or 3 pixels. So some classes differ by shape alone (disc and
square share both textures, triangle and cross too), others by texture alone, which is what careless downsampling loses.
Place, size, colours, background, the texture's phase and noise are random. Every class is its own mirror image.

Only integer arithmetic, comparisons and the four operations of IEEE arithmetic are used, on a bit generator whose
stream NumPy guarantees, so that a seed gives the same bits everywhere. Image i depends on the seed and on i alone; its
class is i mod 10.
"""

from collections.abc import Callable

import numpy as np

SIDE = 32
TRAIN_COUNT, TEST_COUNT = 10_000, 2_000  # images of the data set
TRAIN_SEED, TEST_SEED = 0, 1
RADIUS = (9.0, 13.0)  # pixels, half of a shape's extent
CONTRAST = (40.0, 96.0)  # between a texture's two colours, per channel
NOISE = 12  # largest, of one pixel, per channel

Mask = Callable[[np.ndarray, np.ndarray], np.ndarray]

# A shape is a condition on (v, u), the rows down and columns right of its centre in radii.
SHAPES: dict[str, Mask] = {
    "disc": lambda v, u: v * v + u * u <= 1.0,
    "square": lambda v, u: np.maximum(abs(v), abs(u)) <= 0.88,
    "triangle": lambda v, u: (v <= 0.8) & (2.0 * abs(u) <= v + 1.0),
    "cross": lambda v, u: (np.minimum(abs(v), abs(u)) <= 0.35) & (np.maximum(abs(v), abs(u)) <= 1.0),
    "ring": lambda v, u: (v * v + u * u <= 1.0) & (v * v + u * u >= 0.3),
}

# A texture is a condition on the pixel's row and column, counted from a random phase.
TEXTURES: dict[str, Mask] = {
    "rows": lambda row, column: (row % 2 == 0) | (column < 0),
    "columns": lambda row, column: (column % 2 == 0) | (row < 0),
    "checks": lambda row, column: (row + column) % 2 == 0,
    "dots": lambda row, column: (row % 2 == 0) & (column % 2 == 0),
    "broad rows": lambda row, column: (row % 3 == 0) | (column < 0),
    "broad columns": lambda row, column: (column % 3 == 0) | (row < 0),
}

CLASSES = (
    "disc, rows",
    "disc, columns",
    "square, rows",
    "square, columns",
    "triangle, checks",
    "triangle, dots",
    "cross, checks",
    "cross, dots",
    "ring, broad rows",
    "ring, broad columns",
)


def draw_shapes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw ``count`` images.

    Returns:
        images uint8 ``[count, 32, 32, 3]``, labels int32 ``[count]``, and the shapes' centres float32 ``[count, 2]``,
        row and column in pixels (the first pixel's centre is at 0).
    """
    place_seed, noise_seed = np.random.SeedSequence(seed).spawn(2)
    uniform = uniform_numbers(place_seed, count, 20)
    noise = random_bits(noise_seed, count, 3 * SIDE * SIDE // 8).view(np.uint8).reshape(count, SIDE, SIDE, 3)
    images = np.empty((count, SIDE, SIDE, 3), np.uint8)
    centres = np.empty((count, 2), np.float32)
    labels = np.arange(count, dtype=np.int32) % len(CLASSES)
    for label, name in enumerate(CLASSES):
        chosen = slice(label, None, len(CLASSES))
        images[chosen], centres[chosen] = _draw(name, uniform[chosen], noise[chosen])
    return images, labels, centres


def _draw(name: str, uniform: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw one class from 20 uniform numbers and a byte of noise per value; return images and centres."""
    shape, texture = name.split(", ")
    radius = between(*RADIUS, uniform[:, 0, None])
    centres = between(radius, SIDE - 1 - radius, uniform[:, 1:3])
    phase = np.floor(6 * uniform[:, 3:5]).astype(np.int64)  # 6 is a multiple of every period
    background = between(32, 224, uniform[:, 5:8])
    slope = between(-1, 1, uniform[:, 8:14]).reshape(-1, 2, 3)  # a pixel, along rows and along columns
    colour = between(64, 192, uniform[:, 14:17])
    contrast = between(*CONTRAST, abs(2 * uniform[:, 17:20] - 1)) * np.sign(uniform[:, 17:20] - 0.5)

    grid = np.arange(SIDE)
    offset = grid - centres[:, :, None]  # [images, rows or columns, pixels]
    row, column = outer(offset / radius[:, :, None])
    inside = SHAPES[shape](row, column)[..., None]
    row, column = outer(grid + phase[:, :, None])
    lit = TEXTURES[texture](row, column)[..., None]
    row, column = outer(grid - SIDE / 2 + 0 * offset)
    ground = pixel(background) + row[..., None] * pixel(slope[:, 0]) + column[..., None] * pixel(slope[:, 1])
    figure = pixel(colour) + np.where(lit, 0.5, -0.5) * pixel(contrast)
    values = np.where(inside, figure, ground) + (noise / 256 - 0.5) * (2 * NOISE)
    return np.floor(np.clip(values, 0, 255)).astype(np.uint8), centres.astype(np.float32)


def between(low: float | np.ndarray, high: float | np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return numbers in [low, high) from ``uniform`` ones in [0, 1)."""
    return low + (high - low) * uniform


def outer(axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows ``[n, h, 1]`` and columns ``[n, 1, w]`` from ``[n, 2, pixels]``."""
    return axes[:, 0, :, None], axes[:, 1, None, :]


def pixel(colour: np.ndarray) -> np.ndarray:
    """Return colours ``[n, 1, 1, 3]`` from ``[n, 3]``."""
    return colour[:, None, None, :]


def random_bits(seed: np.random.SeedSequence, rows: int, columns: int) -> np.ndarray:
    """Return little-endian uint64 ``[rows, columns]``; a longer draw starts with a shorter one."""
    return np.random.PCG64(seed).random_raw(rows * columns).astype("<u8").reshape(rows, columns)


def uniform_numbers(seed: np.random.SeedSequence, rows: int, columns: int) -> np.ndarray:
    """Return float64 ``[rows, columns]`` in [0, 1), multiples of 2^-53."""
    return (random_bits(seed, rows, columns) >> np.uint64(11)).astype(np.float64) * 2.0**-53
