"""Where images with a class for each pixel come from, by the data set's name, and how many of each split a run takes."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from strideflax.config import DataConfig
from strideflax.data import scenes
from strideflax.data.dataset import Split
from strideflax.data.mask_folder import MaskedImages, read_masked_images
from strideflax.data.splitting import shuffled
from strideflax.errors import DataError
from strideflax.files import user_path

# The masks of the SegNet tutorial (Badrinarayanan et al. 2017) on CamVid (Brostow, Fauqueur and Cipolla 2009).
CAMVID_CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "cyclist",
)  # fmt: skip
CAMVID_VOID = 11


class MaskedSource(NamedTuple):
    """The splits that a run takes, the names of the classes, and a line that says where the images came from."""

    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    description: str


def scenes_source(config: DataConfig) -> MaskedSource:
    """Draw the embedded scenes; validation images come first, so that a smaller ``train_count`` keeps them."""
    val_count = config.val_count or 0
    train_count = config.train_count or max(scenes.TRAIN_COUNT - val_count, 1)
    test_count = config.test_count or scenes.TEST_COUNT
    for name, count, limit in (
        ("train_count and val_count together", train_count + val_count, scenes.TRAIN_COUNT),
        ("test_count", test_count, scenes.TEST_COUNT),
    ):
        if count > limit:
            raise DataError(
                f"config.data.{name} must be at most {limit}, the images of the embedded scenes, got {count}"
            )
    drawn = Split(*scenes.draw_scenes(val_count + train_count, scenes.TRAIN_SEED))
    test = Split(*scenes.draw_scenes(test_count, scenes.TEST_SEED))
    val, train = drawn.take(slice(val_count)), drawn.take(slice(val_count, None))
    return MaskedSource(scenes.CLASSES, train, val, test, "drawn by strideflax/data/scenes.py")


def camvid_source(config: DataConfig) -> MaskedSource:
    """Read CamVid with eleven classes, from a folder or an archive of it."""
    return _from_pairs(config, read_masked_images(_place(config), classes=CAMVID_CLASSES, void_label=CAMVID_VOID))


def mask_folder_source(config: DataConfig) -> MaskedSource:
    """Read a user's own pairs."""
    return _from_pairs(config, read_masked_images(_place(config), void_label=config.void_label))


MASKED_SOURCES: dict[str, Callable[[DataConfig], MaskedSource]] = {
    "scenes": scenes_source,
    "camvid": camvid_source,
    "mask_folder": mask_folder_source,
}


def _place(config: DataConfig) -> Path:
    if not config.dir:
        raise DataError(
            f"config.data.name is {config.name!r}, so --config.data.dir=DIR must name a folder or an archive with train/images "
            "and train/labels"
        )
    return user_path(config.dir)


def _from_pairs(config: DataConfig, found: MaskedImages) -> MaskedSource:
    """Return as many images as ``config`` asks for; without ``val``, those for validation are of the training set."""
    train, val = found.train, found.val
    if not len(val):
        val = _some(train, config.val_count or 0, "val_count")
        train = train.take(np.sort(shuffled(len(train))[config.val_count or 0 :]))
    elif config.val_count is not None:
        val = _some(val, config.val_count, "val_count")
    if not len(train):
        raise DataError(f"config.data.val_count={config.val_count} leaves no training images of {len(found.train)}")
    if config.train_count:
        train = _some(train, config.train_count, "train_count")
    test = _some(found.test, config.test_count, "test_count") if config.test_count else found.test
    return MaskedSource(found.classes, train, val, test, f"pairs in {config.dir}")


def _some(split: Split, count: int, name: str) -> Split:
    """Return ``count`` images of a fixed shuffled order, in the order of the split."""
    if count > len(split):
        raise DataError(f"config.data.{name}={count} asks for more than the {len(split)} images that there are")
    return split.take(np.sort(shuffled(len(split))[:count]))
