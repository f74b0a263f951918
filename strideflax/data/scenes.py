"""The embedded data set with masks: 64 x 64 scenes of several textured objects, drawn by code from a seed.

A pixel's class is the texture of the object that lies on top there, or the ground; the objects' shapes, sizes, places and
colours say nothing about it. The textures have a period of two pixels, so that a class is only there at full resolution, and
the masks are exact, as each pixel is in an object or not. Objects may cover one another and reach over the border.

Drawn as `strideflax.data.shapes` draws, so that a seed gives the same bits everywhere, and image i depends on the seed and on i
alone.
"""

import numpy as np

from strideflax.data.shapes import (
    CONTRAST,
    NOISE,
    SHAPES,
    TEXTURES,
    between,
    outer,
    pixel,
    random_bits,
    uniform_numbers,
)

SIDE = 64
TRAIN_COUNT, TEST_COUNT = 6_000, 1_000  # images of the data set
TRAIN_SEED, TEST_SEED = 2, 3
OBJECTS = 5  # drawn one over the other in each image
RADIUS = (4.0, 15.0)  # pixels, half of an object's extent
GROUND = "ground"
OBJECT_TEXTURES = ("rows", "columns", "checks", "dots")
CLASSES = (GROUND, *OBJECT_TEXTURES)

GROUND_NUMBERS, OBJECT_NUMBERS = 9, 13  # uniform numbers that one of each takes
CHUNK = 500  # images drawn at once


def draw_scenes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw ``count`` images.

    Returns:
        images uint8 ``[count, 64, 64, 3]``, and each pixel's class, uint8 ``[count, 64, 64]``, one of `CLASSES` by its place.
    """
    place_seed, noise_seed = np.random.SeedSequence(seed).spawn(2)
    uniform = uniform_numbers(place_seed, count, GROUND_NUMBERS + OBJECTS * OBJECT_NUMBERS)
    noise = random_bits(noise_seed, count, 3 * SIDE * SIDE // 8).view(np.uint8).reshape(count, SIDE, SIDE, 3)
    images = np.empty((count, SIDE, SIDE, 3), np.uint8)
    masks = np.empty((count, SIDE, SIDE), np.uint8)
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        images[part], masks[part] = _draw(uniform[part], noise[part])
    return images, masks


def _draw(uniform: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ground, objects = uniform[:, :GROUND_NUMBERS], uniform[:, GROUND_NUMBERS:].reshape(len(uniform), OBJECTS, -1)
    values = _ground(ground)
    masks = np.zeros((len(uniform), SIDE, SIDE), np.uint8)
    for place in range(OBJECTS):
        inside, classes, colours = _object(objects[:, place])
        values = np.where(inside[..., None], colours, values)
        masks = np.where(inside, classes[:, None, None], masks)
    values += (noise / 256 - 0.5) * (2 * NOISE)
    return np.floor(np.clip(values, 0, 255)).astype(np.uint8), masks


def _ground(uniform: np.ndarray) -> np.ndarray:
    """Return a colour that changes slowly along rows and columns, ``[n, 64, 64, 3]``."""
    colour = between(64, 192, uniform[:, 0:3])
    slope = between(-1, 1, uniform[:, 3:9]).reshape(-1, 2, 3)  # per pixel, along rows and along columns
    distance = (np.arange(SIDE) - SIDE / 2)[None, :, None]
    down = distance * slope[:, :1]
    right = distance * slope[:, 1:]
    return pixel(colour) + down[:, :, None] + right[:, None]


def _object(uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where an object is ``[n, 64, 64]``, its class ``[n]`` and its colours ``[n, 64, 64, 3]``."""
    radius = between(*RADIUS, uniform[:, 0, None])
    centres = between(0, SIDE - 1, uniform[:, 1:3])
    shapes = np.floor(len(SHAPES) * uniform[:, 3]).astype(int)
    textures = np.floor(len(OBJECT_TEXTURES) * uniform[:, 4]).astype(int)
    phase = np.floor(2 * uniform[:, 5:7]).astype(int)
    colour = between(64, 192, uniform[:, 7:10])
    contrast = between(*CONTRAST, abs(2 * uniform[:, 10:13] - 1)) * np.sign(uniform[:, 10:13] - 0.5)

    grid = np.arange(SIDE)
    inside = np.empty((len(uniform), SIDE, SIDE), bool)
    for number, shape in enumerate(SHAPES.values()):
        chosen = shapes == number
        inside[chosen] = shape(*outer((grid - centres[chosen][:, :, None]) / radius[chosen][:, :, None]))
    lit = np.empty((len(uniform), SIDE, SIDE), bool)
    for number, name in enumerate(OBJECT_TEXTURES):
        chosen = textures == number
        lit[chosen] = TEXTURES[name](*outer(grid + phase[chosen][:, :, None]))
    colours = pixel(colour) + np.where(lit[..., None], 0.5, -0.5) * pixel(contrast)
    return inside, (textures + 1).astype(np.uint8), colours
