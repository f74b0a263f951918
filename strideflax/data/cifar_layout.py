"""What CIFAR-10 and CIFAR-100 (Krizhevsky 2009) consist of: their classes, and the files of their official layouts."""

from dataclasses import dataclass
from pathlib import Path

from strideflax.errors import DataError

SIDE = 32
PLANES_BYTES = 3 * SIDE * SIDE  # of one image: its red, green and blue planes


@dataclass(frozen=True, kw_only=True)
class CifarLayout:
    """One of the two sets.

    Attributes:
        name: of the set.
        classes: the labels' names.
        train_count: images in the training set.
        url: of the official archive of the binary layout.
        archives: names of the official archives, the binary one first.
        folders: their folders, by the suffix of the files inside: ".bin", or "" for the Python layout.
        train_files, test_file: the files without their suffix.
        label_bytes: before the planes of an image in the binary layout; the last of them is the label.
        labels_key: of the labels in a file of the Python layout.
        file_limit_bytes: twice an official file.
    """

    name: str
    classes: tuple[str, ...]
    train_count: int
    url: str
    archives: tuple[str, ...]
    folders: dict[str, str]
    train_files: tuple[str, ...]
    test_file: str
    label_bytes: int
    labels_key: bytes
    file_limit_bytes: int

    @property
    def files(self) -> tuple[str, ...]:
        """All files without their suffix, in the canonical order of their images."""
        return (*self.train_files, self.test_file)

    @property
    def count_in_words(self) -> str:
        """How many files there are."""
        return "six" if len(self.files) == 6 else "two"

    @property
    def record_bytes(self) -> int:
        """Of one image in the binary layout."""
        return self.label_bytes + PLANES_BYTES

    def check_size(self, path: Path, size_bytes: int) -> None:
        """Raise DataError for a file that is far larger than an official one, before it is read."""
        if size_bytes > self.file_limit_bytes:
            raise DataError(f"{path} has {size_bytes} bytes, expected at most {self.file_limit_bytes}: not {self.name}")


CIFAR10 = CifarLayout(
    name="CIFAR-10",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    train_count=50_000,
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    archives=("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"),
    folders={".bin": "cifar-10-batches-bin", "": "cifar-10-batches-py"},
    train_files=("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"),
    test_file="test_batch",
    label_bytes=1,
    labels_key=b"labels",
    file_limit_bytes=64 * 2**20,
)
# The fine labels, in their alphabetical order.
CIFAR100 = CifarLayout(
    name="CIFAR-100",
    classes=(
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl",
        "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee",
        "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant",
        "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower",
        "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom",
        "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate",
        "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark",
        "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower",
        "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor", "train", "trout", "tulip",
        "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
    ),
    train_count=50_000,
    url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    archives=("cifar-100-binary.tar.gz", "cifar-100-python.tar.gz"),
    folders={".bin": "cifar-100-binary", "": "cifar-100-python"},
    train_files=("train",),
    test_file="test",
    label_bytes=2,
    labels_key=b"fine_labels",
    file_limit_bytes=320 * 2**20,
)  # fmt: skip
