"""The images of a run: training, validation and test split, with their statistics and a fingerprint of the bytes."""

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np

CHUNK = 1000  # images whose sums are taken at once
VOID = 255  # in a mask, a pixel that nobody labelled


@dataclass(frozen=True)
class Split:
    """Images with their labels.

    Attributes:
        images: uint8 ``[n, height, width, channels]``.
        labels: int32 ``[n]``; or masks, the class of each pixel, uint8 ``[n, height, width]``, `VOID` where it has none.
        centres: float32 ``[n, 2]``, row and column of the object's centre in pixels; None where it is not known.
    """

    images: np.ndarray
    labels: np.ndarray
    centres: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def has_masks(self) -> bool:
        """Whether each pixel has a label, and not the image."""
        return self.labels.ndim > 1

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
        labels = self.labels.repeat(factors[0], axis=1).repeat(factors[1], axis=2) if self.has_masks else self.labels
        return Split(images, labels, centres)


@dataclass(frozen=True)
class Dataset:
    """A data set, ready to train on.

    Attributes:
        name: as results show it.
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

    @classmethod
    def of(cls, name: str, classes: tuple[str, ...], splits: tuple[Split, Split, Split], source: str) -> Self:
        """Return the data set of training, validation and test images, with their statistics."""
        train, val, test = splits
        mean, std = channel_statistics(train.images)
        return cls(name, classes, train, val, test, mean, std, fingerprint(*splits), source)

    @property
    def channels(self) -> int:
        """Of an image: 1 of grey ones, 3 of coloured ones."""
        return self.train.images.shape[-1]

    @property
    def model_arguments(self) -> dict[str, int]:
        """What a model of these images takes beside its configuration, see `strideflax.model.MiniResNet`."""
        return {"classes": len(self.classes), "in_features": self.channels}


def channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel of ``images / 255``, from exact sums of integers."""
    total = np.zeros(images.shape[1:], np.int64)
    squares = np.zeros(images.shape[1:], np.int64)
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        total += chunk.sum(0, dtype=np.uint32)
        squares += np.square(chunk, dtype=np.uint16).sum(0, dtype=np.uint32)
    count = images.size // images.shape[-1]
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
