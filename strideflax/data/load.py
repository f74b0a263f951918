"""From a configuration to a data set: read it, and split it the same way for every run and every operator."""

import numpy as np

from strideflax.config import DataConfig
from strideflax.data.dataset import Dataset, channel_statistics, fingerprint
from strideflax.data.sources import SOURCES


def load_dataset(config: DataConfig) -> Dataset:
    """Load what ``config`` asks for. The splits do not depend on a run's seed.

    The validation images come first in a `balanced_order` of the training set, so that a smaller ``train_count`` keeps
    them. Within a split, images keep the order of their source.

    Raises:
        DataError: no images, damaged ones, or fewer than asked for; one line.
    """
    source = SOURCES[config.name](config)
    validation = balanced_order(source.train.labels)[: config.val_count]
    training = np.setdiff1d(np.arange(len(source.train)), validation)
    if config.train_count:
        training = training[balanced_order(source.train.labels[training])[: config.train_count]]
    testing = balanced_order(source.test.labels)[: config.test_count or None]
    train = source.train.take(np.sort(training)).stretch(config.stretch)
    val = source.train.take(np.sort(validation)).stretch(config.stretch)
    test = source.test.take(np.sort(testing)).stretch(config.stretch)
    mean, std = channel_statistics(train.images)
    return Dataset(
        name=source.name,
        classes=source.classes,
        train=train,
        val=val,
        test=test,
        mean=mean,
        std=std,
        fingerprint=fingerprint(train, val, test),
        source=source.description,
    )


def balanced_order(labels: np.ndarray) -> np.ndarray:
    """Return a fixed permutation of 0..n - 1 in which every leading part holds the classes in balance.

    All images are shuffled, then dealt out in rounds: the first of each class, the second of each class, and so on.
    """
    shuffled = np.argsort(np.random.PCG64(0).random_raw(len(labels)), kind="stable")  # a stream that NumPy guarantees
    round_of_image = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        round_of_image[members] = np.arange(len(members))
    return shuffled[np.argsort(round_of_image[shuffled], kind="stable")]
