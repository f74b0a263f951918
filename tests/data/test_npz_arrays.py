"""Arrays in an .npz file: which keys, and what is said of others."""

import zipfile

import numpy as np
import pytest

from strideflax.config import DataConfig
from strideflax.data import DataError, load_dataset


@pytest.fixture
def arrays(random):
    return {
        "train_images": random.integers(0, 256, (40, 12, 12, 3), np.uint8),
        "train_labels": np.arange(40) % 2,
        "test_images": random.integers(0, 256, (10, 12, 12, 3), np.uint8),
        "test_labels": np.arange(10)[:, None] % 2,
    }


@pytest.fixture
def load(tmp_path):
    def load(arrays, **changes):
        np.savez(tmp_path / "mine.npz", **arrays)
        return load_dataset(DataConfig(name=str(tmp_path / "mine.npz"), **changes))

    return load


def test_the_splits_of_the_file_stay(arrays, load):
    data = load(arrays, val_count=0)
    assert (data.name, data.classes) == ("mine (npz)", ("0", "1"))
    assert {image.tobytes() for image in data.test.images} == {image.tobytes() for image in arrays["test_images"]}
    labels = {
        image.tobytes(): label for image, label in zip(arrays["train_images"], arrays["train_labels"], strict=True)
    }
    labels |= {
        image.tobytes(): label
        for image, label in zip(arrays["test_images"], arrays["test_labels"].ravel(), strict=True)
    }
    for split in (data.train, data.test):
        assert [labels[image.tobytes()] for image in split.images] == split.labels.tolist()
    assert len(load(arrays).val) == 4


def test_keras_s_keys_names_of_classes_grey_images_and_another_size(arrays, load):
    grey = {
        "x_train": arrays["train_images"][..., 0],
        "y_train": arrays["train_labels"].astype(np.uint8),
        "classes": np.array(["cat", "größer Hund"]),
    }
    data = load(grey, size=16)
    assert data.classes == ("cat", "größer Hund")
    assert data.test.images.shape == (8, 16, 16, 1)
    with_val = {"x_val": arrays["test_images"][..., 0], "y_val": arrays["test_labels"]}
    assert len(load(grey | with_val).val) == 10


def test_images_without_a_split_are_split(arrays, load):
    data = load({"images": arrays["train_images"], "labels": arrays["train_labels"]})
    assert (len(data.train), len(data.val), len(data.test)) == (29, 3, 8)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"train_images": None},
            "holds train_labels, test_images, test_labels; expected train_images and train_labels",
        ),
        ({"train_labels": None}, r"train_labels in .*mine.npz is missing, expected the 40 labels"),
        ({"train_labels": np.zeros(39, int)}, r"must be 40 whole numbers from 0, got int64 \[39\]"),
        ({"train_labels": np.full(40, -1)}, r"from 0, got int64 \[40\], the least is -1"),
        ({"train_labels": np.zeros(40)}, r"whole numbers from 0, got float64"),
        (
            {"train_images": np.zeros((40, 12, 12, 3))},
            r"must be uint8 \[n, height, width\].*, got float64 \[40, 12, 12, 3\]",
        ),
        ({"train_images": np.zeros((40, 12, 12, 4), np.uint8)}, r"got uint8 \[40, 12, 12, 4\]"),
        (
            {"train_images": np.zeros((40, 9, 9, 3), np.uint8)},
            r"images of \(9, 9, 3\) and \(12, 12, 3\), expected one shape",
        ),
        ({"images": np.zeros((2, 12, 12, 3), np.uint8), "labels": np.zeros(2, int)}, "expected one or the other"),
        ({"classes": np.array(["cat"])}, r"must be 2 names or more, one for each label, got <U3 \[1\]"),
        (
            {"train_labels": np.zeros(40, int), "test_labels": np.zeros(10, int)},
            "has one class, '0', expected two or more",
        ),
        ({"train_labels": np.array([{}] * 40)}, "train_labels in .* holds Python objects; expected plain arrays$"),
        ({"train_labels": np.arange(40) * 10**12}, "holds the label 39000000000000, expected 0 to 49"),
        ({"train_labels": np.full(40, 50)}, "holds the label 50, expected 0 to 49"),
        ({"train_labels": np.full(40, 2**63, np.uint64)}, "holds the label 9223372036854775808, expected 0 to 49"),
        ({"train_labels": np.zeros(39, np.uint8)}, r"got uint8 \[39\]$"),
        ({"classes": np.array(["cat", "cat"])}, "holds 'cat' more than once"),
    ],
)
def test_what_the_file_lacks_is_told_in_one_line(arrays, load, changes, expected):
    arrays = {name: array for name, array in (arrays | changes).items() if array is not None}
    with pytest.raises(DataError, match=expected):
        load(arrays)


def test_a_file_that_is_none(tmp_path):
    for content, expected in (
        (None, "there is no file"),
        (b"", "is not an .npz file$"),
        (b"text", "is not an .npz file$"),
        (b"\x93NUMPY and so on", "is not an .npz file; it holds a single array"),
        (b"PK\x03\x04 and no more", "can't be read"),
    ):
        path = tmp_path / "x.npz"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DataError, match=expected):
            load_dataset(DataConfig(name=str(path)))


def test_other_files_in_the_archive_are_passed_over(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", b"no array")
        archive.writestr("labels", b"text")
    with pytest.raises(DataError, match="holds nothing; expected train_images"):
        load_dataset(DataConfig(name=str(path)))
    arrays = {"images": np.zeros((8, 9, 9), np.uint8), "labels": np.arange(8) % 2}
    np.savez(path, **arrays)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("test_images", b"text")
    assert len(load_dataset(DataConfig(name=str(path))).test) == 2


def test_validation_images_of_the_file_stay_and_near_duplicates_are_split_off_whole(arrays, load):
    """Ten images, each four times, are to give a test set; that there are validation images makes no difference."""
    scenes = np.random.default_rng(1).integers(0, 256, (20, 8, 8, 3), np.uint8).repeat(2, 1).repeat(2, 2)
    val = {"val_images": scenes[10:], "val_labels": np.arange(10) % 2}
    data = load({"train_images": scenes[:10].repeat(4, 0), "train_labels": np.arange(40) // 4 % 2} | val)
    assert {image.tobytes() for image in data.val.images} == {image.tobytes() for image in val["val_images"]}
    train, test = ({image.tobytes() for image in split.images} for split in (data.train, data.test))
    assert (len(data.train), len(data.test)) == (32, 8)
    assert not train & test
