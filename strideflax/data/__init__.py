"""Images: where they come from, how they are split, how they are augmented."""

from strideflax.data.augment import augment, normalize
from strideflax.data.dataset import Dataset, Split
from strideflax.data.load import load_dataset
from strideflax.data.shapes import draw_shapes
from strideflax.errors import DataError

__all__ = ["DataError", "Dataset", "Split", "augment", "draw_shapes", "load_dataset", "normalize"]
