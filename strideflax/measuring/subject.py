"""What the measures look at: a finished run and the images that it was trained on."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

from strideflax.config import NPZ_SUFFIX, DataConfig
from strideflax.data import Dataset, load_dataset, normalize
from strideflax.data.encoded_images import ImageProgress, no_image_progress
from strideflax.data.resize import fitted
from strideflax.errors import UserError
from strideflax.measuring.predictor import feature_function, predictor
from strideflax.training import FinishedRun


def load_images(run: FinishedRun, data_dir: str | None = None, progress: ImageProgress = no_image_progress) -> Dataset:
    """Load the data set that ``run`` was trained on.

    Args:
        run: the run.
        data_dir: the folder where its images are now, or where the .npz file is; None if they are where they were.
        progress: told how many image files are read.

    Raises:
        DataError: no images there, or damaged ones.
        UserError: other images than those of the run.
    """
    data = run.config.data
    if data_dir is not None and data.name.endswith(NPZ_SUFFIX):
        data = dataclasses.replace(data, name=str(Path(data_dir) / Path(data.name).name))
    elif data_dir is not None:
        data = dataclasses.replace(data, dir=data_dir)
    dataset = load_dataset(data, progress)
    expected = (run.result.dataset or {}).get("fingerprint")
    if dataset.fingerprint != expected:
        raise UserError(
            f"{run.folder} was trained on images with fingerprint {expected}, but those found have "
            f"{dataset.fingerprint}; name the folder of the right ones with --data-dir"
        )
    return dataset


@dataclass(frozen=True)
class Subject:
    """A finished run, its images, and how much of them to use.

    Attributes:
        run: the run.
        load: returns the data set that the run was trained on; called when a measure first needs it.
        max_images: test images that a measure uses at most; None leaves each measure its own number.
        cifar10_c: folder with the arrays of CIFAR-10-C (Hendrycks and Dietterich 2019), or None.
    """

    run: FinishedRun
    load: Callable[[], Dataset]
    max_images: int | None = None
    cifar10_c: Path | None = None

    @cached_property
    def dataset(self) -> Dataset:
        """The data set that the run was trained on."""
        return self.load()

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation of the training pixels / 255, per channel: from the run's result if they stand there."""
        return self.run.statistics(lambda: self.dataset)

    @cached_property
    def predict(self) -> Partial:
        """Images uint8 -> logits, by the final weights."""
        return predictor(self.run.model, *self.statistics)

    @cached_property
    def features(self) -> Partial:
        """Images uint8 -> the last feature map, by the final weights."""
        return feature_function(self.run.model, *self.statistics)

    def test(self, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the first ``count`` test images and their labels, None for all, and no more than `max_images`."""
        test = self.dataset.test.take(slice(count)).take(slice(self.max_images))
        return test.images, test.labels

    def normalized_batches(self, images: np.ndarray, batch_size: int) -> list[Array]:
        """Return uint8 ``images`` as the model takes them: batches of float32, the last one possibly smaller."""
        starts = range(0, len(images), batch_size)
        return [normalize(jnp.asarray(images[start : start + batch_size]), *self.statistics) for start in starts]

    @cached_property
    def shapes(self) -> Dataset:
        """The embedded data set in the run's image size: the same for every run, with each object's centre."""
        data = DataConfig(
            name="shapes",
            train_count=2000,
            val_count=500,
            test_count=1000,
            stretch=self.run.config.data.stretch,
        )
        return fitted(load_dataset(data), self.run.image_shape)
