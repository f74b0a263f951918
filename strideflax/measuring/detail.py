"""Detail: how much of an object's position survives to the last feature map."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.tree_util import Partial

from strideflax.data import Split, draw_shapes
from strideflax.measuring.batches import BATCH_SIZE, ImageFunction, Progress, in_batches, in_evaluation
from strideflax.measuring.checks import check_count, check_function
from strideflax.measuring.predictor import feature_function
from strideflax.measuring.resampling import area_weights
from strideflax.measuring.subject import Subject
from strideflax.model import ModelConfig, make_model
from strideflax.operators.geometry import per_axis

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
    features, centres = train
    mean_features = features.mean(0, dtype=np.float64)
    mean_centres = centres.mean(0, dtype=np.float64)
    x, y = features - mean_features, centres - mean_centres
    eigenvalues, vectors = np.linalg.eigh(x @ x.T)
    rotated = vectors.T @ y
    scale = eigenvalues.mean() or 1.0  # features that do not vary leave the mean centre, whatever the scale

    def kernel(features: np.ndarray) -> np.ndarray:
        return (features - mean_features) @ x.T @ vectors

    def error(kernel: np.ndarray, centres: np.ndarray, strength: float) -> float:
        weights = rotated / (np.maximum(eigenvalues, 0)[:, None] + strength * scale)
        return position_error_pixels(kernel @ weights + mean_centres, centres)

    val_kernel, test_kernel = kernel(val[0]), kernel(test[0])
    best = min(STRENGTHS, key=lambda strength: error(val_kernel, val[1], strength))
    return error(test_kernel, test[1], best), best


def average_to(features: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Average a map ``[n, height, width, channels]`` over areas down to ``size``."""
    rows = area_weights(features.shape[1], size[0])
    columns = area_weights(features.shape[2], size[1])
    return np.einsum("rh,nhwc,sw->nrsc", rows, features, columns, optimize=True)


def centres_of(split: Split) -> np.ndarray:
    """Return the objects' centres ``[n, 2]``, which only the embedded data set has."""
    if split.centres is None:
        raise ValueError("these images come without their objects' centres; only the embedded data set has them")
    return split.centres


def undownsampled(config: ModelConfig) -> ModelConfig:
    """Return the same architecture with every stride 1."""
    stem = dataclasses.replace(config.stem, stride=1, downsample="strided_conv", pool=None)
    ones = (1,) * len(config.strides)
    return dataclasses.replace(
        config, stem=stem, strides=ones, downsample="strided_conv", window=None, taps=None, output_stride=None
    )


def flat_features(features: ImageFunction, images: np.ndarray, size: tuple[int, int], *, batch_size: int) -> np.ndarray:
    """Return the feature maps of ``images``, averaged to ``size``, float64 ``[n, height * width * channels]``."""
    check_count("batch_size", batch_size)
    averaged = []
    for start in range(0, len(images), batch_size):
        # Batch by batch, since the maps of all images would not fit in memory where the net does not downsample.
        maps = in_batches(features, images[start : start + batch_size], batch_size=batch_size)
        averaged.append(average_to(maps, size))
    return np.concatenate(averaged).reshape(len(images), -1).astype(np.float64)


def probe_position(
    features: ImageFunction, train: Split, val: Split, test: Split, size: tuple[int, int], *, batch_size: int
) -> tuple[float, float]:
    """Return how well a linear map finds objects in feature maps averaged to ``size``: `ridge_error_pixels`.

    Args:
        features: images uint8 ``[batch, height, width, channels]`` -> maps ``[batch, rows, columns, features]``, a
            traceable JAX function.
        train, val, test: images with their objects' centres, to fit, to choose the ridge's strength, and to test.
        size: rows and columns of the averaged map.
        batch_size: images at once.

    Raises:
        ValueError: images without centres.
    """
    pairs = []
    for split in (train, val, test):
        flat = flat_features(features, split.images, size, batch_size=batch_size)
        pairs.append((flat, centres_of(split)))
    return ridge_error_pixels(*pairs)


def detail(
    features: ImageFunction,
    *,
    stretch: tuple[int, int] = (1, 1),
    counts: tuple[int, int, int] = (2000, 500, 1000),
    map_size: tuple[int, int] | None = None,
    batch_size: int = BATCH_SIZE,
) -> dict[str, Any]:
    """Return how well a linear map finds an object's centre in a net's feature map, on the embedded images.

    Args:
        features: images uint8 ``[batch, height, width, 3]`` -> maps ``[batch, rows, columns, features]`` or logits
            ``[batch, classes]``, a traceable JAX function. Of one that takes floats: ``lambda x: features(x / 255)``.
        stretch: how often each pixel of the 32 x 32 images is repeated along rows and columns, for nets of larger ones.
        counts: images to fit, to choose the ridge's strength, and to test.
        map_size: rows and columns that the maps are averaged to; None keeps theirs.
        batch_size: images at once.

    Returns:
        ``error_pixels`` and ``ridge_strength`` of `ridge_error_pixels`, ``map_size``, and ``centre_guess_error_pixels``, the
        error of always guessing the mean.
    """
    check_function(features)
    rows, columns = per_axis(stretch, 2, "stretch")
    splits = []
    for seed, count in enumerate(per_axis(counts, 3, "counts")):
        splits.append(Split(*draw_shapes(count, seed)).stretch((rows, columns)))
    train, val, test = splits
    features = in_evaluation(features)

    def maps(images: Array) -> Array:
        y = features(images)
        return y.reshape(len(y), 1, 1, -1) if y.ndim == 2 else y

    answered = jax.eval_shape(maps, test.images[:1]).shape[1:3]
    height, width = answered if map_size is None else per_axis(map_size, 2, "map_size")
    size = (height, width)
    error, strength = probe_position(Partial(maps), train, val, test, size, batch_size=batch_size)
    return {
        "error_pixels": error,
        "ridge_strength": strength,
        "map_size": list(size),
        "centre_guess_error_pixels": position_error_pixels(centres_of(train).mean(0), centres_of(test)),
    }


def measure(subject: Subject, progress: Progress) -> dict[str, Any]:
    """Measure a run's net, the same net untrained, and the untrained net without any downsampling."""
    shapes, config = subject.shapes, subject.run.config
    mean, std = subject.statistics
    key, channels = jax.random.key(config.seed), subject.run.image_shape[-1]
    nets = {
        "trained": subject.features,
        "untrained": feature_function(make_model(config.model, key=key, in_features=channels), mean, std),
        "undownsampled_untrained": feature_function(
            make_model(undownsampled(config.model), key=key, in_features=channels), mean, std
        ),
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
        batch_size = 50 if name == "undownsampled_untrained" else 250
        error, strength = probe_position(features, shapes.train, shapes.val, shapes.test, size, batch_size=batch_size)
        result[f"{name}_error_pixels"] = error
        result[f"{name}_ridge_strength"] = strength
        progress(i + 1, len(nets))
    return result
