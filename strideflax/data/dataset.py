"""The images of a run: training, validation and test split, with statistics and a fingerprint of the bytes."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strideflax.config import DataConfig
from strideflax.data import cifar10, shapes
from strideflax.data.cifar10_tfds import read_tfds, tfds_folder
from strideflax.data.errors import DataError

__all__ = ["DataError", "Dataset", "Split", "load_dataset"]

SHAPES_SEEDS = (0, 1)  # of the training and of the test images
SHAPES_COUNTS = (10_000, 2_000)
CHUNK = 1000
# Copies whose pixels are not the official ones, by the fingerprint of their training and test images: results say so.
KNOWN_COPIES = {"d775787a552c": "CIFAR-10 (JPEG re-encoded)"}


@dataclass(frozen=True)
class Split:
    """Images with their labels.

    Attributes:
        images: uint8 ``[n, height, width, 3]``.
        labels: int32 ``[n]``.
        centres: float32 ``[n, 2]``, row and column of the object's centre in pixels; None where it is not known.
    """

    images: np.ndarray
    labels: np.ndarray
    centres: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray | slice) -> "Split":
        """Return the images at ``index``."""
        centres = None if self.centres is None else self.centres[index]
        return Split(self.images[index], self.labels[index], centres)

    def stretch(self, factors: tuple[int, int]) -> "Split":
        """Return the images with each pixel repeated ``factors`` times along rows and columns."""
        if factors == (1, 1):
            return self
        images = self.images.repeat(factors[0], axis=1).repeat(factors[1], axis=2)
        scale = np.array(factors, np.float32)  # pixel p becomes the pixels scale p .. scale p + scale - 1
        centres = None if self.centres is None else self.centres * scale + (scale - 1) / 2
        return Split(images, self.labels, centres)


@dataclass(frozen=True)
class Dataset:
    """A data set, ready to train on.

    Attributes:
        name: "cifar10", "shapes", or the name of a copy of CIFAR-10 that is known not to hold the official pixels.
        classes: the labels' names.
        train, val, test: the splits; ``val`` comes from the training set and may be empty.
        mean, std: per channel, of the training split's pixels / 255.
        fingerprint: 12 hex digits of the SHA-256 over the bytes of all three splits.
        source: one line that says where the images came from.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    source: str


def load_dataset(config: DataConfig) -> Dataset:
    """Load what ``config`` asks for: the same splits for every run and every operator, whatever the seed.

    Raises:
        DataError: no images, damaged ones, or fewer than asked for; one line.
    """
    load = _load_shapes if config.name == "shapes" else _load_cifar10
    name, classes, training, test, source = load(config)
    held = balanced_order(training.labels)[: config.val_count]
    rest = np.setdiff1d(np.arange(len(training)), held)
    if config.train_count:
        rest = rest[balanced_order(training.labels[rest])[: config.train_count]]
    tested = balanced_order(test.labels)[: config.test_count or None]
    train, val, test = (
        split.take(np.sort(index)).stretch(config.stretch)
        for split, index in ((training, rest), (training, held), (test, tested))
    )
    mean, std = channel_statistics(train.images)
    return Dataset(name, classes, train, val, test, mean, std, fingerprint(train, val, test), source)


def balanced_order(labels: np.ndarray) -> np.ndarray:
    """Return a fixed permutation of 0..n - 1, each leading part of which holds the classes in balance."""
    mixed = np.argsort(np.random.PCG64(0).random_raw(len(labels)), kind="stable")  # a stream that NumPy guarantees
    turn = np.empty(len(labels), np.int64)  # an image's place among those of its class
    for label in np.unique(labels):
        members = mixed[labels[mixed] == label]
        turn[members] = np.arange(len(members))
    return mixed[np.argsort(turn[mixed], kind="stable")]


def channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel of ``images / 255``, from exact sums of integers."""
    total = np.zeros(images.shape[1:], np.int64)
    squares = np.zeros(images.shape[1:], np.int64)
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        total += chunk.sum(0, dtype=np.uint32)
        squares += np.square(chunk, dtype=np.uint16).sum(0, dtype=np.uint32)
    count = images.size // 3
    mean = total.sum((0, 1)) / count
    std = np.sqrt(squares.sum((0, 1)) / count - mean**2)
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())


def fingerprint(*splits: Split) -> str:
    """Return 12 hex digits over the images and labels, in order, and over where one split ends."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(len(split).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(split.images).data)
        digest.update(split.labels.astype("<i4").tobytes())
    return digest.hexdigest()[:12]


def _load_cifar10(config: DataConfig) -> tuple[str, tuple[str, ...], Split, Split, str]:
    if config.dir:
        arrays, source = cifar10.read_cifar10(Path(config.dir).expanduser())
    else:
        arrays, source = read_tfds(tfds_folder())
    _check_counts(config, len(arrays.train_labels), len(arrays.test_labels))
    train = Split(arrays.train_images, arrays.train_labels)
    test = Split(arrays.test_images, arrays.test_labels)
    return KNOWN_COPIES.get(fingerprint(train, test), config.name), cifar10.CLASSES, train, test, source


def _load_shapes(config: DataConfig) -> tuple[str, tuple[str, ...], Split, Split, str]:
    """Draw no more images than asked for."""
    _check_counts(config, *SHAPES_COUNTS)
    wanted = (config.train_count + config.val_count if config.train_count else 0, config.test_count)
    counts = [count or every for count, every in zip(wanted, SHAPES_COUNTS, strict=True)]
    train, test = (Split(*shapes.draw_shapes(n, seed)) for n, seed in zip(counts, SHAPES_SEEDS, strict=True))
    return config.name, shapes.CLASSES, train, test, "drawn by strideflax/data/shapes.py"


def _check_counts(config: DataConfig, training: int, test: int) -> None:
    wanted = config.val_count + max(config.train_count, 1)
    if wanted > training:
        raise DataError(
            f"config.data.train_count={config.train_count or 'all'} and val_count={config.val_count} need at least "
            f"{wanted} images, the training set has {training}"
        )
    if config.test_count > test:
        raise DataError(f"config.data.test_count={config.test_count} asks for more than the {test} test images")
