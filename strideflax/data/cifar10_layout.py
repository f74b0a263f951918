"""What CIFAR-10 (Krizhevsky 2009) consists of: its classes, and the files of its official layouts."""

from pathlib import Path

from strideflax.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN_COUNT = 50_000
SIDE = 32
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")
TRAIN_FILES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")
TEST_FILE = "test_batch"
FILES = (*TRAIN_FILES, TEST_FILE)
FOLDERS = {".bin": "cifar-10-batches-bin", "": "cifar-10-batches-py"}  # by the suffix of the files inside
PLANES_BYTES = 3 * SIDE * SIDE  # of one image: its red, green and blue planes
RECORD_BYTES = 1 + PLANES_BYTES  # of the binary layout: the label, then the planes
FILE_LIMIT_BYTES = 64 * 2**20  # twice an official file


def check_size(path: Path, size_bytes: int) -> None:
    """Raise DataError for a file that is far larger than an official one, before it is read."""
    if size_bytes > FILE_LIMIT_BYTES:
        raise DataError(f"{path} has {size_bytes} bytes, expected at most {FILE_LIMIT_BYTES}: not CIFAR-10")
