"""Images brought to another size and number of channels."""

import numpy as np
from PIL import Image

from strideflax.data.dataset import Dataset, Split


def resized(images: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return uint8 ``[n, height, width, channels]`` as ``[n, *shape]``, by Pillow's antialiased BILINEAR.

    One channel is the luma of ITU-R 601 of three; three are three times the one.
    """
    height, width, channels = shape
    if images.shape[1:] == shape:
        return images
    result = np.empty((len(images), *shape), np.uint8)
    for i, image in enumerate(images):
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        picture = picture.convert("L" if channels == 1 else "RGB")
        result[i] = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)).reshape(shape)
    return result


def fitted(dataset: Dataset, shape: tuple[int, int, int]) -> Dataset:
    """Return ``dataset`` with images ``[*, *shape]``, and its statistics; as it is where they are that already."""
    if dataset.train.images.shape[1:] == shape:
        return dataset
    train, val, test = (_fitted_split(split, shape) for split in (dataset.train, dataset.val, dataset.test))
    return Dataset.of(dataset.name, dataset.classes, (train, val, test), dataset.source)


def _fitted_split(split: Split, shape: tuple[int, int, int]) -> Split:
    centres = split.centres
    if centres is not None:
        scale = np.array(shape[:2], np.float32) / split.images.shape[1:3]
        centres = ((centres + 0.5) * scale - 0.5).astype(np.float32)
    return Split(resized(split.images, shape), split.labels, centres)
