"""The effective receptive field: which pixels the middle of the last feature map really depends on."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.tree_util import Partial
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from strideflax.data.augment import normalize
from strideflax.inspection import inspect_model
from strideflax.measuring.functions import Progress, as_argument
from strideflax.measuring.subject import Subject

IMAGES = 512
BATCH_SIZE = 64
THRESHOLD = 1 - 0.9545  # of the maximum, outside two standard deviations of a Gaussian: Luo et al. 2016
PICTURE = "receptive_field.png"


@jax.jit
def _gradient_sizes(features: Partial, images: Array, key: Array) -> Array:
    """Return ``|d y / d x|`` summed over images and their channels, ``[height, width]``."""

    def central_response(x: Array) -> Array:
        y = features(x)
        signs = jax.random.rademacher(key, (len(images), y.shape[-1]), y.dtype)
        return (y[:, y.shape[1] // 2, y.shape[2] // 2] * signs).sum()

    return jnp.abs(jax.grad(central_response)(images)).sum((0, 3))


def effective_field(features: Any, batches: list[Array], key: Array) -> np.ndarray:
    """Return ``E |d y / d x|``, float64 ``[height, width]``, y being the middle position of the feature map.

    The channels of y are added with random signs, anew for every image, so that they do not cancel in a fixed way; the
    mean is over images, the sum over their channels. Source: Luo et al. 2016 (arXiv:1701.04128).

    Args:
        features: images float32 ``[batch, height, width, channels]`` -> map ``[batch, rows, columns, features]``.
        batches: images to average over.
        key: PRNG key of the signs.
    """
    total = np.zeros(batches[0].shape[1:3])
    for i, batch in enumerate(batches):
        total += np.asarray(_gradient_sizes(as_argument(features), batch, jax.random.fold_in(key, i)), np.float64)
    return total / sum(len(batch) for batch in batches)


def field_extent(field: np.ndarray) -> dict[str, Any]:
    """Return the spread and the area of a field ``[height, width]``, pixels.

    ``spread_pixels`` is the standard deviation per axis (down, across) with the field as weights, ``centre_pixels`` its
    mean, ``area_pixels`` the number of pixels of at least 4.55 % of the maximum, ``side_pixels`` the root of that. None
    for a field of zeros.
    """
    total = field.sum()
    if total == 0:
        return {"spread_pixels": None, "centre_pixels": None, "area_pixels": 0, "side_pixels": 0.0}
    centres, spreads = [], []
    for axis in (0, 1):
        weights, places = field.sum(1 - axis) / total, np.arange(field.shape[axis])
        centres.append(float(weights @ places))
        spreads.append(float(np.sqrt(weights @ (places - centres[-1]) ** 2)))
    area = int((field >= THRESHOLD * field.max()).sum())
    return {
        "spread_pixels": dict(zip(("vertical", "horizontal"), spreads, strict=True)),
        "centre_pixels": dict(zip(("vertical", "horizontal"), centres, strict=True)),
        "area_pixels": area,
        "side_pixels": float(np.sqrt(area)),
    }


def draw(field: np.ndarray, path: Path, title: str) -> None:
    """Write the field as a PNG picture."""
    figure = Figure(figsize=(4.4, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    picture = axes.imshow(field / max(field.max(), np.finfo(float).tiny), cmap="magma", vmin=0)
    if field.min() < THRESHOLD * field.max():
        axes.contour(field, levels=[THRESHOLD * field.max()], colors="white", linewidths=0.8)
    axes.set(title=title, xlabel="column, pixels", ylabel="row, pixels")
    figure.colorbar(picture, label="mean |gradient| / maximum")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def measure(subject: Subject, progress: Progress) -> dict[str, Any]:
    """Measure a run on its first test images, beside the theoretical field, and draw the picture."""
    images, _ = subject.test(IMAGES)
    starts = range(0, len(images), BATCH_SIZE)
    batches = [
        normalize(jnp.asarray(images[s : s + BATCH_SIZE]), subject.dataset.mean, subject.dataset.std) for s in starts
    ]
    graph, state = nnx.split(subject.run.model)
    features = Partial(lambda state, x: nnx.merge(graph, state).features(x), state)
    field = effective_field(features, batches, jax.random.key(0))
    last = inspect_model(subject.run.model, images.shape[1:3]).layers[-3]  # before the mean and the classifier
    operator = subject.run.config.model.downsample
    draw(field, subject.run.folder / "measures" / PICTURE, f"Effective receptive field, {operator}")
    progress(1, 1)
    return {
        "protocol": "E |dy/dx|, y the middle position of the last feature map, channels added with random signs, sum "
        f"over colours, mean over the first {len(images)} test images; area: pixels of at least {THRESHOLD:.2%} of the "
        "maximum",
        "images": len(images),
        **field_extent(field),
        "theoretical_size_pixels": {
            axis: last_field.size for axis, last_field in zip(("vertical", "horizontal"), last.fields, strict=True)
        },
        "map": field.tolist(),
        "picture": PICTURE,
    }
