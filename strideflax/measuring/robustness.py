"""Robustness: the error on corrupted images."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from strideflax.errors import UserError
from strideflax.measuring.batches import ImageFunction, Progress, in_batches, no_progress
from strideflax.measuring.checks import check_images, check_is_logits
from strideflax.measuring.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from strideflax.measuring.subject import Subject

IMAGES = 1000
# The fifteen of the CIFAR-10-C benchmark; its folder holds four more, for validation.
CIFAR10_C = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip


def error_rate(predict: ImageFunction, images: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose top class is wrong.

    Args:
        predict: images -> logits ``[batch, classes]``, a traceable JAX function.
        images: ``[n, height, width, channels]`` of the type that ``predict`` takes.
        labels: int ``[n]``.

    Raises:
        ValueError: no images, labels that are not one whole number per image, or logits of another shape.
    """
    check_images(images, labels)
    logits = in_batches(predict, images)
    check_is_logits(logits)
    return float((logits.argmax(-1) != labels).mean())


def corruption_errors(
    predict: ImageFunction, images: np.ndarray, labels: np.ndarray, *, seed: int = 0, progress: Progress = no_progress
) -> dict[str, Any]:
    """Return the error under each of `CORRUPTIONS` and severities.

    Args:
        predict: images ``[batch, height, width, channels]`` -> logits, a traceable JAX function.
        images: ``[n, height, width, channels]``, with 1 or 3 channels, uint8, or floats from 0 to 1. Floats are corrupted as
            the nearest of 256 values, and handed to ``predict`` as floats of their type again.
        labels: int ``[n]``.
        seed: of the corruptions.
        progress: told the number of (corruption, severity) pairs done.

    Returns:
        ``errors`` by name and severity, ``mean_errors`` by name, ``mean_error`` over all, and ``clean_error``; shares
        of the images.

    Raises:
        ValueError: images of another type or shape, or labels that are not one whole number per image.
    """
    check_images(images, labels)
    pixels = _as_bytes(images)
    errors: dict[str, dict[str, float]] = {}
    for i, name in enumerate(CORRUPTIONS):
        errors[name] = {}
        for severity in SEVERITIES:
            corrupted = corrupt(pixels, name, severity, seed)
            if pixels is not images:
                corrupted = (corrupted / 255).astype(images.dtype)
            errors[name][str(severity)] = error_rate(predict, corrupted, labels)
            progress(i * len(SEVERITIES) + severity, len(CORRUPTIONS) * len(SEVERITIES))
    return {"clean_error": error_rate(predict, images, labels), **_averaged(errors)}


def _as_bytes(images: np.ndarray) -> np.ndarray:
    """Return float images from 0 to 1 as uint8, and uint8 as they are.

    Raises:
        ValueError: another type or number of channels, or floats of another range, as images have that are normalised already.
    """
    is_float = jnp.issubdtype(images.dtype, jnp.floating)  # NumPy does not count bfloat16 among them
    if not (is_float or images.dtype == np.uint8) or images.shape[-1] not in (1, 3):
        raise ValueError(
            "images must be uint8, or floats from 0 to 1, [n, height, width, 1 or 3] to be corrupted, got "
            f"{images.dtype} {list(images.shape)}"
        )
    if not is_float:
        return images
    low, high = float(np.min(images)), float(np.max(images))
    if not 0 <= low <= high <= 1:
        raise ValueError(
            f"float images must be from 0 to 1 to be corrupted, got {low:.3g} to {high:.3g}; normalise inside predict"
        )
    return np.rint(images * 255).astype(np.uint8)


def cifar10_c_errors(
    predict: ImageFunction, folder: Path, *, count: int | None = None, progress: Progress = no_progress
) -> dict[str, Any]:
    """Return the plain mean error over the fifteen corruptions and five severities of CIFAR-10-C.

    Source: Hendrycks and Dietterich 2019 (arXiv:1903.12261).

    Args:
        predict: images uint8 -> logits.
        folder: with ``labels.npy`` and ``NAME.npy`` uint8 ``[5 n, 32, 32, 3]``, severity after severity.
        count: images of each severity, None for all.
        progress: told the number of (corruption, severity) pairs done.

    Returns:
        ``images`` of each severity, and the errors as `corruption_errors` returns them.

    Raises:
        UserError: an array that is missing or is not what the benchmark has.
    """
    labels, images = _load_cifar10_c(folder)
    size = len(labels) // len(SEVERITIES)
    used = min(count or size, size)
    errors: dict[str, dict[str, float]] = {}
    for i, name in enumerate(CIFAR10_C):
        errors[name] = {}
        for severity in SEVERITIES:
            start = (severity - 1) * size
            part = slice(start, start + used)
            errors[name][str(severity)] = error_rate(predict, np.asarray(images[name][part]), labels[part])
            progress(i * len(SEVERITIES) + severity, len(CIFAR10_C) * len(SEVERITIES))
    return {"images": used, **_averaged(errors)}


def _load_cifar10_c(folder: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the labels and the images by corruption, all checked before the first of them is used."""
    labels = load_array(folder, "labels")
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) == 0 or len(labels) % len(SEVERITIES):
        raise UserError(
            f"{folder / 'labels.npy'} must be ints, as many for each of {len(SEVERITIES)} severities, "
            f"got {labels.dtype} {labels.shape}"
        )
    images = {}
    for name in CIFAR10_C:
        images[name] = load_array(folder, name)
        if images[name].dtype != np.uint8 or images[name].shape != (len(labels), 32, 32, 3):
            raise UserError(
                f"{folder / name}.npy must be uint8 of shape {(len(labels), 32, 32, 3)}, "
                f"got {images[name].dtype} {images[name].shape}"
            )
    return labels, images


def load_array(folder: Path, name: str) -> np.ndarray:
    """Return ``NAME.npy`` of a CIFAR-10-C folder, read from disk as it is used; nothing in it is ever run.

    Raises:
        UserError: the file is missing, or is not an array of numbers.
    """
    try:
        return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{folder} is not a CIFAR-10-C folder: {name}.npy can't be read ({reason}); "
            f"it must hold labels.npy and {', '.join(CIFAR10_C)}"
        ) from None


def _averaged(errors: dict[str, dict[str, float]]) -> dict[str, Any]:
    mean_errors = {name: float(np.mean(list(by_severity.values()))) for name, by_severity in errors.items()}
    mean_error = float(np.mean(list(mean_errors.values())))
    return {"mean_error": mean_error, "mean_errors": mean_errors, "errors": errors}


def measure(subject: Subject, progress: Progress) -> dict[str, Any]:
    """Measure a run under the in-house corruptions, and on CIFAR-10-C where its folder is given."""
    images, labels = subject.test(IMAGES)
    benchmark = {}  # first, so that a wrong folder is answered at once
    if subject.cifar10_c is not None:
        benchmark["cifar10_c"] = _measure_cifar10_c(subject, subject.cifar10_c, progress)
    return {
        "protocol": f"plain mean error over {len(CORRUPTIONS)} in-house corruptions x {len(SEVERITIES)} severities, "
        f"seed 0, first {len(images)} test images; own strengths, not comparable with published CIFAR-10-C errors",
        "images": len(images),
        **corruption_errors(subject.predict, images, labels, progress=progress),
        **benchmark,
    }


def _measure_cifar10_c(subject: Subject, folder: Path, progress: Progress) -> dict[str, Any]:
    """Return the run's errors on CIFAR-10-C."""
    height, width = subject.dataset.test.images.shape[1:3]
    if subject.dataset.name != "cifar10" or (height, width) != (32, 32):
        kind = f"{subject.dataset.name} at {height} x {width}"
        raise UserError(f"CIFAR-10-C fits runs on cifar10 at 32 x 32, got a run on {kind}")
    found = cifar10_c_errors(subject.predict, folder, count=subject.max_images, progress=progress)
    protocol = f"CIFAR-10-C: plain mean error over 15 corruptions x 5 severities, {found['images']} images each"
    return {"protocol": protocol, **found}
