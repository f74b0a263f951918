"""Where a data set's images come from, by its name, before they are split."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from strideflax.config import DataConfig
from strideflax.data import cifar10_layout, shapes
from strideflax.data.cifar10 import read_cifar10
from strideflax.data.cifar10_tfds import read_tfds, tfds_folder
from strideflax.data.dataset import Split, fingerprint
from strideflax.data.encoded_images import ImageProgress
from strideflax.data.folder import read_folder
from strideflax.data.own_images import OwnImages
from strideflax.errors import DataError

# Copies whose pixels are not the official ones, by the fingerprint of their training and test images: results say so.
KNOWN_COPIES = {"d775787a552c": "CIFAR-10 (JPEG re-encoded)"}


class Source(NamedTuple):
    """A data set as it is handed out, with a line that says where it came from."""

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    description: str


def cifar10_source(config: DataConfig) -> Source:
    """Return CIFAR-10 from the folder that ``config`` names, or from tensorflow-datasets."""
    if config.dir:
        arrays, description = read_cifar10(Path(config.dir).expanduser())
    else:
        arrays, description = read_tfds(tfds_folder())
    train = Split(arrays.train_images, arrays.train_labels)
    test = Split(arrays.test_images, arrays.test_labels)
    check_counts(config, len(train), len(test))
    name = KNOWN_COPIES.get(fingerprint(train, test), config.name)
    return Source(name, cifar10_layout.CLASSES, train, test, description)


def shapes_source(config: DataConfig) -> Source:
    """Draw the embedded data set, no more images than ``config`` asks for."""
    check_counts(config, shapes.TRAIN_COUNT, shapes.TEST_COUNT)
    train_count = config.train_count + (config.val_count or 0) if config.train_count else shapes.TRAIN_COUNT
    test_count = config.test_count or shapes.TEST_COUNT
    train = Split(*shapes.draw_shapes(train_count, shapes.TRAIN_SEED))
    test = Split(*shapes.draw_shapes(test_count, shapes.TEST_SEED))
    return Source(config.name, shapes.CLASSES, train, test, "drawn by strideflax/data/shapes.py")


SOURCES: dict[str, Callable[[DataConfig], Source]] = {"cifar10": cifar10_source, "shapes": shapes_source}


def published_source(config: DataConfig) -> Source:
    """Return the published set that ``config`` names."""
    return SOURCES[config.name](config)


def own_images(config: DataConfig, progress: ImageProgress) -> OwnImages:
    """Return the user's own images that ``config`` names."""
    return read_folder(config, progress)


def check_counts(config: DataConfig, train_count: int, test_count: int) -> None:
    """Raise DataError if ``config`` asks for more images than there are."""
    needed = (config.val_count or 0) + (config.train_count or 1)
    if needed > train_count:
        raise DataError(
            f"config.data.train_count={config.train_count or 'all'} and val_count={config.val_count} need at least "
            f"{needed} images, the training set has {train_count}"
        )
    if (config.test_count or 0) > test_count:
        raise DataError(f"config.data.test_count={config.test_count} asks for more than the {test_count} test images")
