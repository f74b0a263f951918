"""Seeded corruptions of images at five severities, in the families of CIFAR-10-C that need no further data.

Each takes uint8 images ``[n, height, width, channels]``, a severity from 1 to 5 and a NumPy generator, and returns corrupted
images of the same shape and type. The strengths are this project's own: numbers can be compared among runs here, and not
with published CIFAR-10-C errors.
The families are those of Hendrycks and Dietterich 2019 (arXiv:1903.12261), and translation.
"""

import io
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from strideflax.measuring.resampling import area_weights

Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(images: np.ndarray, name: str, severity: int, seed: int = 0) -> np.ndarray:
    """Return ``images`` corrupted by ``name``; the same seed gives the same bytes.

    Args:
        images: uint8 ``[n, height, width, channels]``, with 1 or 3 channels.
        name: of `CORRUPTIONS`.
        severity: 1 (mild) to 5.
        seed: of everything random.

    Raises:
        ValueError: an unknown name or severity, or images of another type or shape.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"corruption must be one of {', '.join(CORRUPTIONS)}, got {name!r}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity must be one of {SEVERITIES}, got {severity!r}")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(f"images must be uint8 [n, height, width, 1 or 3], got {images.dtype} {list(images.shape)}")
    # The stream does not depend on the severity: a stronger noise is the same noise, scaled, where that makes sense.
    return CORRUPTIONS[name](images, severity, np.random.default_rng([seed, zlib.crc32(name.encode())]))


def gaussian_noise(images: np.ndarray, severity: int, generator: np.random.Generator) -> np.ndarray:
    """Add normal noise with a standard deviation of 4 to 12 % of the range to each value."""
    deviation = 255 * (0.04, 0.06, 0.08, 0.10, 0.12)[severity - 1]
    return _to_uint8(images + deviation * generator.standard_normal(images.shape, np.float32))


def shot_noise(images: np.ndarray, severity: int, generator: np.random.Generator) -> np.ndarray:
    """Count photons: Poisson with 400 down to 40 of them for a full value."""
    photons = (400, 200, 100, 60, 40)[severity - 1]
    return _to_uint8(generator.poisson(images / 255 * photons) * (255 / photons))


def impulse_noise(images: np.ndarray, severity: int, generator: np.random.Generator) -> np.ndarray:
    """Set 1 to 12 % of the values to 0 or 255, half each."""
    share = (0.01, 0.03, 0.05, 0.08, 0.12)[severity - 1]
    uniform = generator.random(images.shape, np.float32)
    extreme = np.where(uniform < share / 2, 0, 255)
    return np.where(uniform < share, extreme, images).astype(np.uint8)


def defocus_blur(images: np.ndarray, severity: int, generator: np.random.Generator) -> np.ndarray:
    """Average over a disc of radius 0.7 to 2.2 pixels."""
    radius = (0.7, 1.0, 1.3, 1.7, 2.2)[severity - 1]
    size = 7  # of the kernel
    fine = 9  # points per pixel and axis that the disc is drawn with
    points = (np.arange(size * fine) - (size * fine - 1) / 2) / fine
    inside = points[:, None] ** 2 + points**2 <= radius**2
    disc = inside.reshape(size, fine, size, fine).sum((1, 3))
    return _correlate(images, np.broadcast_to(disc / disc.sum(), (len(images), size, size)))


def motion_blur(images: np.ndarray, severity: int, generator: np.random.Generator) -> np.ndarray:
    """Average along a line of 2 to 7 pixels in a random direction."""
    length = (2.0, 3.0, 4.0, 5.5, 7.0)[severity - 1]
    angle = generator.uniform(0, np.pi, (len(images), 1))
    along = np.linspace(-(length - 1) / 2, (length - 1) / 2, 33)
    rows = _interpolation_weights(along * np.sin(angle))
    columns = _interpolation_weights(along * np.cos(angle))
    return _correlate(images, np.einsum("npi,npj->nij", rows, columns) / along.size)


def _interpolation_weights(positions: np.ndarray) -> np.ndarray:
    """Return how each of ``positions [n, points]`` is shared linearly by the pixels -4 to 4, ``[n, points, 9]``."""
    pixels = np.arange(-4, 5)
    return np.maximum(1 - np.abs(positions[:, :, None] - pixels), 0)


def pixelate(images: np.ndarray, severity: int, generator: np.random.Generator) -> np.ndarray:
    """Average down to 90 to 45 % of the size and repeat pixels back up."""
    share = (0.9, 0.75, 0.65, 0.55, 0.45)[severity - 1]
    height, width = images.shape[1:3]
    rows = _pixelation_weights(height, max(round(height * share), 1))
    columns = _pixelation_weights(width, max(round(width * share), 1))
    return _to_uint8(np.einsum("rh,nhwc,sw->nrsc", rows, images.astype(np.float32), columns, optimize=True))


def jpeg(images: np.ndarray, severity: int, generator: np.random.Generator) -> np.ndarray:
    """Compress at quality 80 down to 10 and decode."""
    quality = (80, 60, 40, 20, 10)[severity - 1]
    decoded = np.empty_like(images)
    for i, image in enumerate(images):
        file = io.BytesIO()
        picture = image[..., 0] if image.shape[-1] == 1 else image  # Pillow's grey images have no axis of channels
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
        decoded[i] = np.asarray(Image.open(file)).reshape(image.shape)
    return decoded


def brightness(images: np.ndarray, severity: int, generator: np.random.Generator) -> np.ndarray:
    """Add 8 to 40 % of the range."""
    return _to_uint8(images + np.float32(255 * (0.08, 0.16, 0.24, 0.32, 0.4)[severity - 1]))


def contrast(images: np.ndarray, severity: int, generator: np.random.Generator) -> np.ndarray:
    """Bring every value nearer to the image's mean per channel, down to 75 to 15 % of the distance."""
    share = np.float32((0.75, 0.6, 0.45, 0.3, 0.15)[severity - 1])
    mean = images.mean((1, 2), dtype=np.float32, keepdims=True)
    return _to_uint8(mean + share * (images - mean))


def translation(images: np.ndarray, severity: int, generator: np.random.Generator) -> np.ndarray:
    """Move by exactly 1, 2, 3, 4 or 6 pixels along both axes, each way at random; mirrored pixels move in."""
    pixels = (1, 2, 3, 4, 6)[severity - 1]
    starts = pixels * generator.choice((0, 2), (len(images), 2))
    margin = (pixels, pixels)
    padded = np.pad(images, ((0, 0), margin, margin, (0, 0)), mode="reflect")
    height, width = images.shape[1:3]
    moved = np.empty_like(images)
    for i, (row, column) in enumerate(starts):
        moved[i] = padded[i, row : row + height, column : column + width]
    return moved


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "defocus_blur": defocus_blur,
    "motion_blur": motion_blur,
    "pixelate": pixelate,
    "jpeg": jpeg,
    "brightness": brightness,
    "contrast": contrast,
    "translation": translation,
}


def _to_uint8(values: np.ndarray) -> np.ndarray:
    """Return ``values`` rounded and clipped to uint8."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _pixelation_weights(size: int, cells: int) -> np.ndarray:
    """Return the ``[size, size]`` map that averages to ``cells`` and repeats the cell under each pixel's centre."""
    nearest = ((np.arange(size) + 0.5) * cells / size).astype(int)
    return area_weights(size, cells)[nearest].astype(np.float32)


def _correlate(images: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """Correlate each image with its own kernel ``[n, k, k]``, the border mirrored."""
    half = kernels.shape[1] // 2
    padded = np.pad(images, ((0, 0), (half, half), (half, half), (0, 0)), mode="reflect").astype(np.float32)
    height, width = images.shape[1:3]
    total = np.zeros(images.shape, np.float32)
    for row, column in np.argwhere(kernels.any(0)):
        weight = kernels[:, row, column].astype(np.float32)[:, None, None, None]
        total += weight * padded[:, row : row + height, column : column + width]
    return _to_uint8(total)
