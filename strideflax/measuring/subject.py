"""What the measures look at: a finished run and its images."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jax.tree_util import Partial

from strideflax.data.dataset import Dataset, load_dataset
from strideflax.measuring.functions import feature_function, predictor
from strideflax.training.run_folder import FinishedRun


@dataclass(frozen=True)
class Subject:
    """A finished run, the data set that it was trained on, and how much of it to use.

    Attributes:
        run: the run.
        dataset: its data set.
        images: test images that a measure uses at most; 0 leaves each measure its own number.
        cifar10_c: folder with the arrays of CIFAR-10-C (Hendrycks and Dietterich 2019), or None.
    """

    run: FinishedRun
    dataset: Dataset
    images: int = 0
    cifar10_c: Path | None = None

    @cached_property
    def predict(self) -> Partial:
        """Images uint8 -> logits, by the final weights."""
        return predictor(self.run.model, self.dataset.mean, self.dataset.std)

    @cached_property
    def features(self) -> Partial:
        """Images uint8 -> the last feature map, by the final weights."""
        return feature_function(self.run.model, self.dataset.mean, self.dataset.std)

    def test(self, count: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return the first ``count`` test images and their labels, 0 for all, capped by `images`."""
        limits = [limit for limit in (count, self.images) if limit] or [len(self.dataset.test)]
        return self.dataset.test.images[: min(limits)], self.dataset.test.labels[: min(limits)]

    @cached_property
    def shapes(self) -> Dataset:
        """The embedded data set, whose images come with their object's centre: the same for every run."""
        like = self.run.config.data
        return load_dataset(
            dataclasses.replace(like, name="shapes", dir="", train_count=2000, val_count=500, test_count=1000)
        )
