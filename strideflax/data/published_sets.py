"""What is known of the published and the drawn data sets before any image is read."""

from dataclasses import dataclass

from strideflax.data import scenes, shapes
from strideflax.data.cifar_layout import CIFAR10, CIFAR100, SIDE


@dataclass(frozen=True)
class PublishedSet:
    """A data set of coloured squares.

    Attributes:
        train_count: images to train on, and to split validation images from.
        classes: how many there are.
        side: pixels of an image.
    """

    train_count: int
    classes: int
    side: int


PUBLISHED_SETS = {
    "cifar10": PublishedSet(CIFAR10.train_count, len(CIFAR10.classes), SIDE),
    "cifar100": PublishedSet(CIFAR100.train_count, len(CIFAR100.classes), SIDE),
    "shapes": PublishedSet(shapes.TRAIN_COUNT, len(shapes.CLASSES), shapes.SIDE),
    "scenes": PublishedSet(scenes.TRAIN_COUNT, len(scenes.CLASSES), scenes.SIDE),
}
