"""Robustness: the error on corrupted images."""

from pathlib import Path
from typing import Any

import numpy as np

from strideflax.errors import UserError
from strideflax.measuring.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from strideflax.measuring.functions import ImageFunction, Progress, ignore, in_batches
from strideflax.measuring.subject import Subject

IMAGES = 1000
# The fifteen of the CIFAR-10-C benchmark; its folder holds four more, for validation.
CIFAR10_C = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip


def error_rate(predict: ImageFunction, images: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose top class is wrong."""
    return float((in_batches(predict, images).argmax(-1) != labels).mean())


def corruption_errors(
    predict: ImageFunction, images: np.ndarray, labels: np.ndarray, *, seed: int = 0, progress: Progress = ignore
) -> dict[str, Any]:
    """Return the error under each of `CORRUPTIONS` and severities.

    Args:
        predict: images uint8 ``[batch, height, width, 3]`` -> logits.
        images, labels: uint8 ``[n, height, width, 3]`` and int ``[n]``.
        seed: of the corruptions.
        progress: told the pairs done.

    Returns:
        ``errors`` by name and severity, ``mean_errors`` by name, ``mean_error`` over all, and ``clean_error``.
    """
    errors: dict[str, dict[str, float]] = {}
    for i, name in enumerate(CORRUPTIONS):
        errors[name] = {}
        for severity in SEVERITIES:
            errors[name][str(severity)] = error_rate(predict, corrupt(images, name, severity, seed), labels)
            progress(i * len(SEVERITIES) + severity, len(CORRUPTIONS) * len(SEVERITIES))
    return {"clean_error": error_rate(predict, images, labels), **_averaged(errors)}


def cifar10_c_errors(
    predict: ImageFunction, folder: Path, *, count: int = 0, progress: Progress = ignore
) -> dict[str, Any]:
    """Return the plain mean error over the fifteen corruptions and five severities of a CIFAR-10-C folder.

    Args:
        predict: images uint8 -> logits.
        folder: with ``labels.npy`` and ``NAME.npy`` uint8 ``[5 n, 32, 32, 3]``, severity after severity.
        count: images of each severity, 0 for all.
        progress: told the pairs done.

    Raises:
        UserError: an array that is missing or is not what the benchmark has.
    """
    labels = _array(folder, "labels")
    size = len(labels) // len(SEVERITIES)
    used = min(count or size, size)
    errors: dict[str, dict[str, float]] = {}
    for i, name in enumerate(CIFAR10_C):
        images = _array(folder, name)
        if images.dtype != np.uint8 or images.shape != (len(labels), 32, 32, 3):
            raise UserError(
                f"{folder / name}.npy must be uint8 of shape {(len(labels), 32, 32, 3)}, "
                f"got {images.dtype} {images.shape}"
            )
        errors[name] = {}
        for severity in SEVERITIES:
            part = slice((severity - 1) * size, (severity - 1) * size + used)
            errors[name][str(severity)] = error_rate(predict, np.asarray(images[part]), labels[part])
            progress(i * len(SEVERITIES) + severity, len(CIFAR10_C) * len(SEVERITIES))
    return {"images": used, **_averaged(errors)}


def _array(folder: Path, name: str) -> np.ndarray:
    try:
        return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{folder} is not a CIFAR-10-C folder: {name}.npy can't be read ({reason}); "
            f"it must hold labels.npy and {', '.join(CIFAR10_C)}"
        ) from None


def _averaged(errors: dict[str, dict[str, float]]) -> dict[str, Any]:
    means = {name: float(np.mean(list(by_severity.values()))) for name, by_severity in errors.items()}
    return {"mean_error": float(np.mean(list(means.values()))), "mean_errors": means, "errors": errors}


def measure(subject: Subject, progress: Progress) -> dict[str, Any]:
    """Measure a run under the in-house corruptions, and on CIFAR-10-C where its folder is given."""
    images, labels = subject.test(IMAGES)
    result = {
        "protocol": f"plain mean error over {len(CORRUPTIONS)} in-house corruptions x {len(SEVERITIES)} severities, "
        f"seed 0, first {len(images)} test images; own strengths, not comparable with published CIFAR-10-C errors",
        "images": len(images),
        **corruption_errors(subject.predict, images, labels, progress=progress),
    }
    if subject.cifar10_c is not None:
        if subject.dataset.name != "cifar10" or images.shape[1:3] != (32, 32):
            kind = f"{subject.dataset.name} at {images.shape[1]} x {images.shape[2]}"
            raise UserError(f"CIFAR-10-C fits runs on cifar10 at 32 x 32, got a run on {kind}")
        found = cifar10_c_errors(subject.predict, subject.cifar10_c, count=subject.images, progress=progress)
        protocol = f"CIFAR-10-C: plain mean error over 15 corruptions x 5 severities, {found['images']} images each"
        result["cifar10_c"] = {"protocol": protocol, **found}
    return result
