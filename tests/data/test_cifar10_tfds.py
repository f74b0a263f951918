"""The real tensorflow-datasets, from an archive in the official layout to images."""

import subprocess
import sys
import time

import numpy as np
import pytest

from strideflax.data import cifar10_tfds as module
from strideflax.data.cifar import read_cifar
from strideflax.data.cifar10_tfds import manual_archive, prepare, prepared_files, read_tfds, tfds_folder
from strideflax.errors import DataError


@pytest.fixture(scope="module")
def prepared(cifar10, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    prepare(folder / "data", cifar10.archive(folder / "archive.tar.gz"))
    return folder / "data"


def refused(data_dir, **options) -> str:
    with pytest.raises(DataError) as caught:
        read_tfds(data_dir, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def offline(monkeypatch):
    """A port where nobody listens."""
    monkeypatch.setattr(module, "URL", "http://127.0.0.1:9/cifar-10-binary.tar.gz")


def test_bit_equal_to_the_binary_folder(prepared, cifar10, tmp_path):
    expected, _ = read_cifar(cifar10.binary(tmp_path / "data"))
    arrays, source = read_tfds(prepared)
    for name, got, wanted in zip(arrays._fields, arrays, expected, strict=True):
        assert got.dtype == wanted.dtype, name
        np.testing.assert_array_equal(got, wanted, err_msg=name)
    assert str(prepared) in source


def test_the_stock_name_reads_it(prepared, cifar10):
    import tensorflow_datasets as tfds

    decoders = {"image": tfds.decode.SkipDecoding()}
    records = tfds.data_source("cifar10", split="test", data_dir=prepared, download=False, decoders=decoders)
    assert sorted(record["id"].decode() for record in records) == [f"test_{i:05d}" for i in range(4)]
    assert records.dataset_info.features["label"].int2str(3) == "cat"


def test_no_tensorflow_and_nothing_printed(cifar10, tmp_path):
    archive = cifar10.archive(tmp_path / "archive.tar.gz")
    code = (
        "import sys; from pathlib import Path; from strideflax.data.cifar10_tfds import prepare, read_tfds\n"
        "folder, archive = map(Path, sys.argv[1:]); prepare(folder, archive); read_tfds(folder)\n"
        "assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "data", archive], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_second_time_comes_from_the_cache(prepared, monkeypatch):
    first, _ = read_tfds(prepared)
    monkeypatch.setattr(module, "read_prepared", lambda data_dir: pytest.fail("decoded again"))
    second, _ = read_tfds(prepared)
    np.testing.assert_array_equal(first.train_images, second.train_images)


def test_offline_the_answer_comes_at_once_and_leaves_nothing(offline, tmp_path):
    start = time.perf_counter()
    message = refused(tmp_path / "data")
    assert time.perf_counter() - start < 5
    for part in (
        "cannot be reached",
        "cifar-10-binary.tar.gz",
        str(tmp_path / "data" / "downloads" / "manual"),
        "--config.data.dir=DIR",
        ":quick",
    ):
        assert part in message
    assert list(tmp_path.iterdir()) == []


def test_archive_in_the_manual_folder_is_checked(offline, cifar10, tmp_path, monkeypatch):
    monkeypatch.undo()
    path = cifar10.archive(manual_archive(tmp_path))
    message = refused(tmp_path)
    assert message.startswith(f"{path} is not the official archive")
    assert sorted(entry for entry in tmp_path.rglob("*") if entry.is_file()) == [path]
    assert not (tmp_path / "cifar10").exists()


def test_preparation_that_fails_leaves_nothing(tmp_path):
    (tmp_path / "bad.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(DataError, match=r"bad\.tar\.gz is damaged"):
        prepare(tmp_path / "data", tmp_path / "bad.tar.gz")
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.tar.gz"]


def test_damaged_preparation_says_what_to_delete(cifar10, tmp_path):
    prepare(tmp_path / "data", cifar10.archive(tmp_path / "archive.tar.gz"))
    for path in prepared_files(tmp_path / "data"):
        path.write_bytes(b"x" * 100)
    message = refused(tmp_path / "data")
    assert f"{tmp_path / 'data' / 'cifar10'}" in message
    assert "delete it to prepare it again" in message


def test_folder_is_that_of_tensorflow_datasets(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert tfds_folder() == tmp_path
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert tfds_folder().name == "tensorflow_datasets"
