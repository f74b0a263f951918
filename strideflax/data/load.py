"""From a configuration to a data set: read it, and split it the same way for every run and every operator."""

import numpy as np

from strideflax.config import DataConfig
from strideflax.data.dataset import Dataset, Split
from strideflax.data.encoded_images import ImageProgress, no_image_progress
from strideflax.data.masked_sources import MASKED_SOURCES
from strideflax.data.own_images import split_own_images
from strideflax.data.sources import own_images, published_source
from strideflax.data.splitting import balanced_order


def load_dataset(config: DataConfig, progress: ImageProgress = no_image_progress) -> Dataset:
    """Load what ``config`` asks for. The splits do not depend on a run's seed.

    Of a published set, the validation images come first in a `balanced_order` of the training set, so that a smaller
    ``train_count`` keeps them; within a split, images keep the order of their source. A user's own images are split by
    `split_own_images`.

    Args:
        config: what to load.
        progress: told how many image files are decoded; a published set takes seconds and is not reported.

    Raises:
        DataError: no images, damaged ones, or fewer than asked for; one line.
    """
    if config.has_masks:
        masked = MASKED_SOURCES[config.name](config)
        return _dataset(config, config.name, masked.classes, masked.train, masked.val, masked.test, masked.description)
    if config.is_own:
        own = own_images(config, progress)
        splits = split_own_images(own, config)
        return _dataset(config, own.name, own.classes, splits.train, splits.val, splits.test, splits.description)
    source = published_source(config)
    validation = balanced_order(source.train.labels)[: config.val_count]
    training = np.setdiff1d(np.arange(len(source.train)), validation)
    if config.train_count:
        training = training[balanced_order(source.train.labels[training])[: config.train_count]]
    testing = balanced_order(source.test.labels)[: config.test_count or None]
    train = source.train.take(np.sort(training))
    val = source.train.take(np.sort(validation))
    test = source.test.take(np.sort(testing))
    return _dataset(config, source.name, source.classes, train, val, test, source.description)


def _dataset(
    config: DataConfig, name: str, classes: tuple[str, ...], train: Split, val: Split, test: Split, source: str
) -> Dataset:
    """Return the splits in the size that ``config`` asks for, with their statistics."""
    train, val, test = (split.stretch(config.stretch) for split in (train, val, test))
    return Dataset.of(name, classes, (train, val, test), source)
