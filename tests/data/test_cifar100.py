"""CIFAR-100 in its official layouts, written by hand."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from strideflax.config import DataConfig
from strideflax.data import DataError, load_dataset
from strideflax.data.cifar_layout import CIFAR10, CIFAR100

COUNTS = {"train": 30, "test": 10}


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    made = {}
    for name, count in COUNTS.items():
        made[name] = (
            random.integers(0, 256, (count, 32, 32, 3), np.uint8),
            random.integers(0, 100, count).astype(np.uint8),
        )
    return made


def binary(images) -> dict[str, bytes]:
    """Coarse label, fine label, red plane, green plane, blue plane; image after image."""
    files = {}
    for name, (pixels, labels) in images.items():
        planes = pixels.transpose(0, 3, 1, 2).reshape(len(labels), -1)
        coarse = np.full(len(labels), 7, np.uint8)
        files[f"{name}.bin"] = np.concatenate([coarse[:, None], labels[:, None], planes], 1).tobytes()
    return files


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def load(folder: Path):
    return load_dataset(DataConfig(name="cifar100", dir=str(folder), val_count=0))


def check(data, images) -> None:
    np.testing.assert_array_equal(data.train.images, images["train"][0])
    np.testing.assert_array_equal(data.train.labels, images["train"][1])
    np.testing.assert_array_equal(data.test.images, images["test"][0])
    np.testing.assert_array_equal(data.test.labels, images["test"][1])
    assert (data.name, len(data.classes)) == ("cifar100", 100)


@pytest.mark.parametrize("inner", ["", "cifar-100-binary"])
def test_binary_folder(images, tmp_path, inner):
    write(tmp_path / "data" / inner, binary(images))
    check(load(tmp_path / "data"), images)


def test_binary_archive(images, tmp_path):
    folder = write(tmp_path / "cifar-100-binary", binary(images))
    with tarfile.open(tmp_path / "cifar-100-binary.tar.gz", "w:gz") as archive:
        archive.add(folder, folder.name)
    shutil.rmtree(folder)
    check(load(tmp_path), images)


def test_python_folder(images, tmp_path, write_python2_pickle):
    files = {"meta": b"is not read"}
    for name, label in (("train", b"training batch 1 of 1"), ("test", b"testing batch 1 of 1")):
        pixels, labels = images[name]
        planes = pixels.transpose(0, 3, 1, 2).tobytes()
        files[name] = write_python2_pickle(labels.tolist(), planes, labels_key=b"fine_labels", batch_label=label)
    write(tmp_path / "cifar-100-python", files)
    check(load(tmp_path), images)
    (tmp_path / "cifar-100-python" / "test").write_bytes(files["train"])
    with pytest.raises(DataError, match="test holds the images of train: the files are swapped"):
        load(tmp_path)


def test_swapped_files_are_noticed(images, tmp_path):
    files = binary(images)
    (tmp_path / "train.bin").write_bytes(files["train.bin"])
    (tmp_path / "test.bin").write_bytes(files["train.bin"])
    with pytest.raises(DataError, match=r"test.bin is the same file as train.bin, expected two different ones"):
        load(tmp_path)


def test_the_other_set_and_nothing_are_told(cifar10, tmp_path):
    cifar10.binary(tmp_path / "cifar-10-batches-bin")
    with pytest.raises(DataError, match=r"no CIFAR-100 in .*: put cifar-100-binary.tar.gz"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"--config.data.dir=DIR must name a folder with cifar-100-binary.tar.gz"):
        load_dataset(DataConfig(name="cifar100", val_count=0))
    (tmp_path / "train.bin").write_bytes(b"x" * 3074)
    with pytest.raises(DataError, match=r"test.bin is missing: expected the two files train.bin to test.bin"):
        load(tmp_path)
    (tmp_path / "test.bin").write_bytes(b"y" * 3075)
    with pytest.raises(DataError, match=r"test.bin has 3075 bytes, expected a multiple of 3074 \(30740000 in"):
        load(tmp_path)


def test_its_classes_are_a_hundred_in_alphabetical_order():
    assert len(set(CIFAR100.classes)) == 100
    assert list(CIFAR100.classes) == sorted(CIFAR100.classes)
    assert len(CIFAR10.classes) == 10
