"""Detail: how much of an object's position survives to the last feature map."""

import dataclasses
from typing import Any

import jax
import numpy as np

from strideflax.config import ModelConfig, StemConfig
from strideflax.data.dataset import Split
from strideflax.measuring.functions import ImageFunction, Progress, feature_function, in_batches
from strideflax.measuring.resampling import area_weights
from strideflax.measuring.subject import Subject
from strideflax.model import MiniResNet

# Ridge strengths over the mean eigenvalue of the Gram matrix.
STRENGTHS = tuple(10.0**power for power in range(-10, 4))


def position_error_pixels(predicted: np.ndarray, centres: np.ndarray) -> float:
    """Return the mean Euclidean distance between two sets of points ``[n, 2]``, pixels."""
    return float(np.sqrt(((predicted - centres) ** 2).sum(-1)).mean())


def ridge_error_pixels(
    train: tuple[np.ndarray, np.ndarray], val: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float]:
    """Fit centres linearly to features with a ridge, in closed form, and return (test error in pixels, strength).

    ``W = X^T (X X^T + strength I)^-1 Y`` on centred X and Y, float64. The strength, relative to the mean eigenvalue of
    ``X X^T``, is the one with the smallest error on ``val``.

    Args:
        train, val, test: (features ``[n, d]``, centres ``[n, 2]`` in pixels).
    """
    mean_x, mean_y = train[0].mean(0, dtype=np.float64), train[1].mean(0, dtype=np.float64)
    x, y = train[0] - mean_x, train[1] - mean_y
    eigenvalues, vectors = np.linalg.eigh(x @ x.T)
    turned = vectors.T @ y
    scale = max(eigenvalues.mean(), np.finfo(float).tiny)
    kernels = [((features - mean_x) @ x.T @ vectors, centres) for features, centres in (val, test)]

    def error(split: int, strength: float) -> float:
        kernel, centres = kernels[split]
        weights = turned / (np.maximum(eigenvalues, 0)[:, None] + strength * scale)
        return position_error_pixels(kernel @ weights + mean_y, centres)

    best = min(STRENGTHS, key=lambda strength: error(0, strength))
    return error(1, best), best


def pooled_to(features: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Average a map ``[n, height, width, channels]`` over areas down to ``size``."""
    rows, columns = (area_weights(n, m) for n, m in zip(features.shape[1:3], size, strict=True))
    return np.einsum("rh,nhwc,sw->nrsc", rows, features, columns, optimize=True)


def centres_of(split: Split) -> np.ndarray:
    """Return the objects' centres ``[n, 2]``, which only the embedded data set has."""
    if split.centres is None:
        raise ValueError("these images come without their objects' centres; only the embedded data set has them")
    return split.centres


def undownsampled(config: ModelConfig) -> ModelConfig:
    """Return the same architecture with every stride 1."""
    stem = StemConfig(kernel=config.stem.kernel, stride=1, downsample="strided_conv", pool="none")
    ones = (1,) * len(config.strides)
    return dataclasses.replace(config, stem=stem, strides=ones, downsample="strided_conv", window=0)


def detail(features: ImageFunction, subject: Subject, size: tuple[int, int], batch_size: int) -> tuple[float, float]:
    """Return `ridge_error_pixels` of the features, averaged to ``size``, on the embedded data set."""
    splits: list[tuple[np.ndarray, np.ndarray]] = []
    for split in (subject.shapes.train, subject.shapes.val, subject.shapes.test):
        pieces = [
            # Piece by piece, since the undownsampled map of all images would not fit in memory.
            pooled_to(in_batches(features, split.images[s : s + batch_size], batch_size=batch_size), size)
            for s in range(0, len(split), batch_size)
        ]
        splits.append((np.concatenate(pieces).reshape(len(split), -1).astype(np.float64), centres_of(split)))
    train, val, test = splits
    return ridge_error_pixels(train, val, test)


def measure(subject: Subject, progress: Progress) -> dict[str, Any]:
    """Measure a run's net, the same net untrained, and the untrained net without any downsampling."""
    shapes, config, mean, std = subject.shapes, subject.run.config, subject.dataset.mean, subject.dataset.std
    key = jax.random.key(config.seed)
    nets = {
        "trained": subject.features,
        "untrained": feature_function(MiniResNet(config.model, key=key), mean, std),
        "undownsampled_untrained": feature_function(MiniResNet(undownsampled(config.model), key=key), mean, std),
    }
    size = subject.features(shapes.test.images[:1]).shape[1:3]
    result: dict[str, Any] = {
        "protocol": "ridge regression from the flattened last feature map to the object's centre on embedded data "
        f"({len(shapes.train)} images to fit, {len(shapes.val)} to choose the strength, {len(shapes.test)} to test), "
        "whatever the run was trained on; mean Euclidean error in pixels; undownsampled: every stride 1, averaged to "
        f"{size[0]} x {size[1]}; untrained: initial weights",
        "images": len(shapes.test),
        "map_size": list(size),
        "centre_guess_error_pixels": position_error_pixels(centres_of(shapes.train).mean(0), centres_of(shapes.test)),
    }
    for i, (name, features) in enumerate(nets.items()):
        error, strength = detail(features, subject, size, batch_size=50 if name == "undownsampled_untrained" else 250)
        result |= {f"{name}_error_pixels": error, f"{name}_ridge_strength": strength}
        progress(i + 1, len(nets))
    return result
