"""Segmentation: the overlap of masks by class, their boundaries, objects by size, and a picture of masks and errors."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

from strideflax.measuring.batches import ImageFunction, Progress, in_batches
from strideflax.measuring.checks import check_finite
from strideflax.measuring.overlap import DISTANCES, SIZES, boundary_scores, confusion, recall_by_size
from strideflax.measuring.subject import Subject
from strideflax.tasks import VOID, class_overlaps, mean_overlap

PICTURE = "segmentation.png"
SHOWN = 6  # images
BATCH_SIZE = 50
# After Okabe and Ito; the first is the ground's, and more classes take colours between them.
COLOURS = ((70, 70, 74), (230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167), (0, 114, 178), (213, 94, 0),
           (240, 228, 66), (150, 150, 150), (160, 110, 60), (120, 200, 120), (170, 140, 220))  # fmt: skip
VOID_COLOUR = (255, 255, 255)
ERROR_COLOUR = (220, 30, 60)


def predicted_masks(predict: ImageFunction, images: np.ndarray, progress: Progress) -> np.ndarray:
    """Return the class of each pixel, uint8 ``[n, height, width]``.

    Args:
        predict: images ``[batch, height, width, channels]`` -> logits ``[batch, height, width, classes]``.
        images: of the type that ``predict`` takes.
        progress: told the number of images done.

    Raises:
        ValueError: logits that are NaN or infinite.
    """
    masks = in_batches(Partial(_top_class, predict), images, batch_size=BATCH_SIZE, progress=progress)
    check_finite(masks != VOID)
    return masks


def _top_class(predict: ImageFunction, images: Array) -> Array:
    """Return the class of each pixel; `VOID` of no number."""
    logits = predict(images)
    return jnp.where(jnp.isfinite(logits.max(-1)), logits.argmax(-1), VOID).astype(jnp.uint8)


def scores(truth: np.ndarray, predicted: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return all that is said of masks: overlap, by class too, boundary scores by distance and recall by an object's size.

    Args:
        truth, predicted: int ``[n, height, width]``.
        classes: their names.

    Raises:
        ValueError: masks of different shapes, or a number that is no class.
    """
    pixels = confusion(truth, predicted, len(classes))
    overlaps = class_overlaps(pixels)
    by_class = {}
    for name, overlap in zip(classes, overlaps, strict=True):
        by_class[name] = float(overlap) if np.isfinite(overlap) else None
    of_distances = boundary_scores(truth, predicted, DISTANCES)
    return {
        "mean_iou": mean_overlap(pixels),
        "pixel_accuracy": float(np.trace(pixels) / max(pixels.sum(), 1)),
        "iou": by_class,
        "boundary_score": {f"{distance}_px": score for distance, score in of_distances.items()},
        "objects": recall_by_size(truth, predicted),
    }


def draw(images: np.ndarray, truth: np.ndarray, predicted: np.ndarray, classes: tuple[str, ...], path: Path) -> None:
    """Write a PNG picture with a column per image: the image, its true mask, the predicted one, and the wrong pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here, as matplotlib takes a second to import
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    palette = _palette(len(classes))
    wrong = (truth != predicted) & (truth != VOID)
    grey = np.repeat(images.mean(-1, keepdims=True), 3, axis=-1)
    faded = (160 + 0.3 * grey).astype(np.uint8)
    errors = np.where(wrong[..., None], np.array(ERROR_COLOUR, np.uint8), faded)
    rows = {"image": images, "truth": palette[truth], "predicted": palette[predicted], "errors": errors}
    count, (height, width) = len(images), images.shape[1:3]
    figure = Figure(figsize=(1.25 * count * max(width / height, 1) + 0.5, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), count, squeeze=False)
    for line, (name, pictures) in zip(panels, rows.items(), strict=True):
        for axes, picture in zip(line, pictures, strict=True):
            axes.imshow(picture if picture.shape[-1] == 3 else picture[..., 0], cmap="gray", interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set_visible(False)
        line[0].set_ylabel(name, fontsize=10)
    for axes, part, known in zip(panels[-1], wrong, truth != VOID, strict=True):
        axes.set_xlabel(f"{part.sum() / max(int(known.sum()), 1):.1%} wrong", fontsize=8, color="#444444")
    keys = []
    others = [("no class", VOID_COLOUR)] if (truth == VOID).any() else []
    for name, (red, green, blue) in [*zip(classes, palette.tolist(), strict=False), *others, ("wrong", ERROR_COLOUR)]:
        keys.append(Patch(facecolor=(red / 255, green / 255, blue / 255), edgecolor="#999999", label=name))
    figure.legend(handles=keys, loc="outside lower center", ncols=min(len(keys), 6), frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _palette(classes: int) -> np.ndarray:
    """Return a colour for each number that a mask may hold, uint8 ``[256, 3]``."""
    colours = np.array([COLOURS[i % len(COLOURS)] for i in range(256)], np.uint8)
    repeats = np.arange(256) // len(COLOURS)
    colours = (colours * (1 - 0.35 * (repeats % 2))[:, None]).astype(np.uint8)
    colours[VOID] = VOID_COLOUR
    return colours


def measure(subject: Subject, progress: Progress) -> dict[str, Any]:
    """Measure a run on its test images, and draw some of them, from the first to the last."""
    images, truth = subject.test()
    classes = subject.run.classes
    predicted = predicted_masks(subject.predict, images, progress)
    path = subject.run.folder / "measures" / PICTURE
    shown = np.unique(np.linspace(0, len(images) - 1, SHOWN).round().astype(int))  # neighbours of a film look alike
    draw(images[shown], truth[shown], predicted[shown], classes, path)
    sizes = ", ".join(f"{name} from {low}" for name, (low, _) in SIZES.items())
    return {
        "protocol": f"IoU over all labelled pixels of {len(images)} test images; boundary F-score within "
        f"{', '.join(map(str, DISTANCES))} pixels, mean over images and the classes in them; recall of connected parts of true "
        f"masks, each counted once, by size in pixels ({sizes})",
        "images": len(images),
        **scores(truth, predicted, classes),
        "picture": PICTURE,
    }
