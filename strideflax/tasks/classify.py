"""One class for an image."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.typing import ArrayLike

from strideflax.config import AugmentConfig
from strideflax.data.augment import augment
from strideflax.tasks.task import ClassCounts, Evaluation

REMEDY = "try a smaller optimizer.learning_rate, or more epochs"


class Totals(NamedTuple):
    """Sums over the images of a batch, the first two float32; divide by the count once, at the end."""

    loss_sum: Array
    correct_sum: Array
    by_class: ClassCounts


def smoothed_cross_entropy(logits: Array, labels: Array, smoothing: float) -> Array:
    """Return the cross-entropy per image ``[batch]`` against labels with ``smoothing`` spread over all classes."""
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype), smoothing)
    return optax.losses.softmax_cross_entropy(logits, targets)


class Classify:
    """Targets int32 ``[batch]``, logits ``[batch, classes]``."""

    def augment(
        self, images: Array, targets: Array, key: Array, config: AugmentConfig, mirrored: Array | None = None
    ) -> tuple[Array, Array]:
        """Change the images alone: no change makes another class of one."""
        return augment(images, key, config, mirrored), targets

    def loss(self, logits: Array, targets: Array, smoothing: float) -> tuple[Array, Array]:
        """Return the mean cross-entropy, and the share of images whose top class is right."""
        loss = smoothed_cross_entropy(logits, targets, smoothing).mean()
        return loss, (logits.argmax(-1) == targets).mean(dtype=jnp.float32)

    def totals(self, logits: Array, targets: Array, real: Array) -> Totals:
        """Return sums over the real images, the loss without smoothing."""
        losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits, targets)
        predicted = logits.argmax(-1)
        correct = real & (predicted == targets)

        def by_class(classes: Array, counted: ArrayLike) -> Array:
            return jnp.zeros(logits.shape[-1], jnp.int32).at[classes].add(jnp.asarray(counted, jnp.int32))

        return Totals(
            loss_sum=jnp.where(real, losses, 0.0).sum(),
            correct_sum=correct.sum(dtype=jnp.float32),
            by_class=ClassCounts(by_class(targets, real), by_class(targets, correct), by_class(predicted, real)),
        )

    def evaluation(self, totals: Sequence[Totals], count: int) -> Evaluation:
        """Return means over all images."""
        loss_sum = correct_sum = 0.0
        by_class = ClassCounts(*np.zeros((3, 1), np.int64))
        for one in totals:
            loss_sum += float(one.loss_sum)
            correct_sum += float(one.correct_sum)
            by_class = jax.tree.map(np.add, by_class, one.by_class)
        return Evaluation(loss_sum / count, correct_sum / count, by_class)

    def suspicions(self, test: Evaluation) -> list[str] | None:
        """Return a line on each sign that nothing was learned.

        Guessing among k classes is right once in k times; with n images the share varies by ``sqrt((1/k)(1 - 1/k)/n)``.
        """
        assert test.by_class is not None  # as this task's evaluations have it
        predicted = test.by_class.predicted
        images, classes = int(predicted.sum()), len(predicted)
        chance = 1 / classes
        spread = math.sqrt(chance * (1 - chance) / images)
        found = []
        if predicted.max() == images:
            found.append(f"every test image is taken for the same class; {REMEDY}")
        elif test.accuracy < chance + 3 * spread:
            found.append(
                f"the test accuracy of {test.accuracy:.1%} is that of guessing among {classes} classes; {REMEDY}"
            )
        return found or None
