"""The effective receptive field: which pixels the middle of the last feature map really depends on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.tree_util import Partial

from strideflax.inspection import inspect_model
from strideflax.measuring.batches import ImageFunction, Progress, as_pytree
from strideflax.measuring.checks import check_count, check_images
from strideflax.measuring.subject import Subject
from strideflax.programs import Program

IMAGES = 512
BATCH_SIZE = 64
THRESHOLD = 1 - 0.9545  # of the maximum, outside two standard deviations of a Gaussian: Luo et al. 2016
PICTURE = "receptive_field.png"
AXES = ("vertical", "horizontal")


@Program
def _gradient_sizes(features: Partial, images: Array, key: Array) -> Array:
    """Return ``|d y / d x|`` summed over images and their channels, ``[height, width]``."""

    def central_response(x: Array) -> Array:
        y = features(x)
        y = y.reshape(len(y), 1, 1, -1) if y.ndim == 2 else y  # logits: a map of one pixel
        signs = jax.random.rademacher(key, (len(images), y.shape[-1]), y.dtype)
        return (y[:, y.shape[1] // 2, y.shape[2] // 2] * signs).sum()

    return jnp.abs(jax.grad(central_response)(images)).sum((0, 3))


def effective_field(features: ImageFunction, batches: Sequence[Array], key: Array) -> np.ndarray:
    """Return ``E |d y / d x|``, float64 ``[height, width]``, y being the middle position of the feature map.

    The channels of y are added with random signs, anew for every image, so that they do not cancel in a fixed way; the
    mean is over images, the sum over their channels. Source: Luo et al. 2016 (arXiv:1701.04128).

    Args:
        features: images float32 ``[batch, height, width, channels]`` -> map ``[batch, rows, columns, features]``, or logits
            ``[batch, classes]``, a traceable JAX function.
        batches: images to average over, one batch or more.
        key: PRNG key of the signs.

    Raises:
        ValueError: no batches, or images that are not floats, which have no gradient.
    """
    if not batches or not all(jnp.issubdtype(batch.dtype, jnp.floating) for batch in batches):
        types = ", ".join(sorted({str(batch.dtype) for batch in batches})) or "none"
        raise ValueError(f"batches must hold float images, as the field is a gradient in their pixels; got {types}")
    features, images = as_pytree(features), 0
    total = np.zeros(batches[0].shape[1:3])
    for i, batch in enumerate(batches):
        total += np.asarray(_gradient_sizes(features, batch, jax.random.fold_in(key, i)), np.float64)
        images += len(batch)
    return total / images


def field_extent(field: np.ndarray) -> dict[str, Any]:
    """Return the spread and the area of a field ``[height, width]``, pixels.

    ``spread_pixels`` is the standard deviation per axis (down, across) with the field as weights, ``centre_pixels`` its
    mean, ``area_pixels`` the number of pixels of at least 4.55 % of the maximum, ``side_pixels`` the root of that. None
    for a field of zeros.
    """
    total = field.sum()
    if total == 0:
        return {"spread_pixels": None, "centre_pixels": None, "area_pixels": 0, "side_pixels": 0.0}
    centre, spread = {}, {}
    for axis, name in enumerate(AXES):
        weights = field.sum(1 - axis) / total
        pixels = np.arange(field.shape[axis])
        mean = weights @ pixels
        centre[name] = float(mean)
        spread[name] = float(np.sqrt(weights @ (pixels - mean) ** 2))
    area = int((field >= THRESHOLD * field.max()).sum())
    return {
        "spread_pixels": spread,
        "centre_pixels": centre,
        "area_pixels": area,
        "side_pixels": float(np.sqrt(area)),
    }


def receptive_field(
    features: ImageFunction, images: np.ndarray, *, batch_size: int = BATCH_SIZE, key: Array | None = None
) -> dict[str, Any]:
    """Return which pixels the middle of a net's map, or its logits, depends on, and how far they spread.

    Args:
        features: images ``[batch, height, width, channels]`` -> map ``[batch, rows, columns, features]`` or logits
            ``[batch, classes]``, a traceable JAX function. It gets floats, as the field is a gradient in the pixels.
        images: float or uint8 ``[n, height, width, channels]``; bytes are handed over as floats of the same values.
        batch_size: images at once.
        key: PRNG key of the signs with which channels are added; None is that of seed 0.

    Returns:
        As `field_extent`, with the field ``[height, width]`` as ``map``.

    Raises:
        ValueError: no images, an array that is not four-dimensional, or a batch size under 1.
    """
    check_images(images)
    check_count("batch_size", batch_size)
    floats = images.astype(np.float32) if images.dtype == np.uint8 else images
    batches = [jnp.asarray(floats[start : start + batch_size]) for start in range(0, len(floats), batch_size)]
    field = effective_field(features, batches, jax.random.key(0) if key is None else key)
    return {**field_extent(field), "map": field}


def draw(field: np.ndarray, path: Path, title: str) -> None:
    """Write the field as a PNG picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here, as matplotlib takes a second to import
    from matplotlib.figure import Figure

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
    model = subject.run.model
    graph, state = nnx.split(model)
    features = Partial(lambda state, x: nnx.merge(graph, state).features(x), state)
    field = effective_field(features, subject.normalized_batches(images, BATCH_SIZE), jax.random.key(0))
    *_, last_map = inspect_model(model, images.shape[1:3]).stage_ends().values()
    vertical, horizontal = last_map.fields
    operator = subject.run.config.model.downsample
    draw(field, subject.run.folder / "measures" / PICTURE, f"Effective receptive field, {operator}")
    progress(1, 1)
    return {
        "protocol": "E |dy/dx|, y the middle position of the last feature map, channels added with random signs, sum "
        f"over colours, mean over the first {len(images)} test images; area: pixels of at least {THRESHOLD:.2%} of the "
        "maximum",
        "images": len(images),
        **field_extent(field),
        "theoretical_size_pixels": {"vertical": vertical.size, "horizontal": horizontal.size},
        "map": field.tolist(),
        "picture": PICTURE,
    }
