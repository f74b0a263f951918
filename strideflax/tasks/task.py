"""What training and evaluation ask of a task."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from jax import Array

from strideflax.config import AugmentConfig


class ClassCounts(NamedTuple):
    """Numbers of images by class, int ``[classes]``.

    Attributes:
        images: of the class.
        correct: of the class, and taken for it.
        predicted: taken for the class, of whichever they are.
    """

    images: Any
    correct: Any
    predicted: Any


class Evaluation(NamedTuple):
    """What came of a split.

    Attributes:
        loss, accuracy: means over the images, or over their labelled pixels.
        by_class: numbers of images by class; None where each pixel has one.
        confusion: labelled pixels by their true class and the one that they were taken for, int ``[classes, classes]``; None
            where images have classes.
        mean_iou: see `strideflax.tasks.mean_overlap`, of the same.
    """

    loss: float
    accuracy: float
    by_class: ClassCounts | None = None
    confusion: np.ndarray | None = None
    mean_iou: float | None = None

    @property
    def balanced_accuracy(self) -> float | None:
        """The mean over the classes that have images of the share of a class's images that are taken for it."""
        if self.by_class is None:
            return None
        there = self.by_class.images > 0
        return float((self.by_class.correct[there] / self.by_class.images[there]).mean())


class Task(Protocol):
    """A task: pure functions of arrays, made for the jitted step, and what they come to over a split.

    Images are uint8 ``[batch, height, width, channels]``; targets and logits are the task's own.
    """

    def augment(
        self, images: Array, targets: Array, key: Array, config: AugmentConfig, mirrored: Array | None = None
    ) -> tuple[Array, Array]:
        """Change each image at random, and its target with it; see `strideflax.data.augment`."""

    def loss(self, logits: Array, targets: Array, smoothing: float) -> tuple[Array, Array]:
        """Return the batch's mean loss, against labels with ``smoothing`` spread over all classes, and its accuracy."""

    def totals(self, logits: Array, targets: Array, real: Array) -> Any:
        """Return sums over those images of a batch that are ``real``, bool ``[batch]``."""

    def evaluation(self, totals: Sequence[Any], count: int) -> Evaluation:
        """Return what the totals of all batches of a split come to; ``count`` is the split's images."""

    def suspicions(self, test: Evaluation) -> list[str] | None:
        """Return a line on each sign that a run learned nothing, though its losses are finite; None if there is no sign."""
