"""Where a data set's images come from, by its name, before they are split."""

from collections.abc import Callable
from typing import NamedTuple

from strideflax.config import NPZ_SUFFIX, TFDS_PREFIX, DataConfig
from strideflax.data import shapes
from strideflax.data.cifar import Arrays, read_cifar
from strideflax.data.cifar10_tfds import read_tfds, tfds_folder
from strideflax.data.cifar_layout import CIFAR10, CIFAR100, CifarLayout
from strideflax.data.dataset import Split, fingerprint
from strideflax.data.encoded_images import ImageProgress
from strideflax.data.folder import read_folder
from strideflax.data.npz_arrays import read_npz
from strideflax.data.own_images import OwnImages
from strideflax.data.prepared_tfds import read_prepared_set
from strideflax.errors import DataError
from strideflax.files import user_path

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
        arrays, description = read_cifar(user_path(config.dir))
    else:
        arrays, description = read_tfds(tfds_folder())
    return _cifar_source(config, CIFAR10, arrays, description)


def cifar100_source(config: DataConfig) -> Source:
    """Return CIFAR-100 with its fine labels from the folder that ``config`` names."""
    if not config.dir:
        raise DataError(
            f"config.data.name is 'cifar100', so --config.data.dir=DIR must name a folder with {CIFAR100.archives[0]} (from "
            f"{CIFAR100.url}) or {CIFAR100.folders['.bin']}"
        )
    arrays, description = read_cifar(user_path(config.dir), CIFAR100)
    return _cifar_source(config, CIFAR100, arrays, description)


def _cifar_source(config: DataConfig, layout: CifarLayout, arrays: Arrays, description: str) -> Source:
    train = Split(arrays.train_images, arrays.train_labels)
    test = Split(arrays.test_images, arrays.test_labels)
    check_counts(config, len(train), len(test))
    name = KNOWN_COPIES.get(fingerprint(train, test), config.name)
    return Source(name, layout.classes, train, test, description)


def shapes_source(config: DataConfig) -> Source:
    """Draw the embedded data set, no more images than ``config`` asks for."""
    check_counts(config, shapes.TRAIN_COUNT, shapes.TEST_COUNT)
    train_count = config.train_count + (config.val_count or 0) if config.train_count else shapes.TRAIN_COUNT
    test_count = config.test_count or shapes.TEST_COUNT
    train = Split(*shapes.draw_shapes(train_count, shapes.TRAIN_SEED))
    test = Split(*shapes.draw_shapes(test_count, shapes.TEST_SEED))
    return Source(config.name, shapes.CLASSES, train, test, "drawn by strideflax/data/shapes.py")


SOURCES: dict[str, Callable[[DataConfig], Source]] = {
    "cifar10": cifar10_source,
    "cifar100": cifar100_source,
    "shapes": shapes_source,
}


def published_source(config: DataConfig) -> Source:
    """Return the published set that ``config`` names."""
    return SOURCES[config.name](config)


def own_images(config: DataConfig, progress: ImageProgress) -> OwnImages:
    """Return the user's own images that ``config`` names."""
    if config.name.startswith(TFDS_PREFIX):
        return read_prepared_set(config, progress)
    if config.name.endswith(NPZ_SUFFIX):
        return read_npz(config, progress)
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
