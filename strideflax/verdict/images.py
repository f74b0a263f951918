"""What a study knows of its images before it trains on them."""

import math
from dataclasses import dataclass

import numpy as np

from strideflax.config import DataConfig
from strideflax.data import load_dataset
from strideflax.data.encoded_images import ImageProgress, no_image_progress


@dataclass(frozen=True)
class StudyImages:
    """The images of a study, in numbers.

    Attributes:
        name: the data set's.
        is_own: whether they are the user's, and not a published set.
        source: where they come from and how they were split, in words.
        fingerprint: of all images and labels.
        classes: how many there are.
        train_count, val_count, test_count: images in each split.
        chance: accuracy of always answering with the commonest class of the test images.
    """

    name: str
    is_own: bool
    source: str
    fingerprint: str
    classes: int
    train_count: int
    val_count: int
    test_count: int
    chance: float

    @property
    def count(self) -> int:
        """All images."""
        return self.train_count + self.val_count + self.test_count

    @property
    def most_by_chance(self) -> float:
        """The accuracy that answers without any knowledge reach at most, once in some hundred runs (3 standard errors)."""
        return self.chance + 3 * math.sqrt(self.chance * (1 - self.chance) / self.test_count)


def read_images(config: DataConfig, progress: ImageProgress = no_image_progress) -> StudyImages:
    """Load the images and count them; ``progress`` is told how many files are decoded.

    Raises:
        DataError: no images, damaged ones, or fewer than asked for.
    """
    dataset = load_dataset(config, progress)
    _, counts = np.unique(dataset.test.labels, return_counts=True)
    return StudyImages(
        name=dataset.name,
        is_own=config.is_own,
        source=dataset.source,
        fingerprint=dataset.fingerprint,
        classes=len(dataset.classes),
        train_count=len(dataset.train),
        val_count=len(dataset.val),
        test_count=len(dataset.test),
        chance=float(counts.max() / counts.sum()),
    )
