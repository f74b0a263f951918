import gzip
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from strideflax.data import cifar as module
from strideflax.data import cifar_archive
from strideflax.data.cifar import Arrays, read_archive, read_cifar
from strideflax.errors import DataError

COUNT = 4


def check(arrays: Arrays, written) -> None:
    assert arrays.train_images.dtype == np.uint8
    assert arrays.train_labels.dtype == np.int32
    np.testing.assert_array_equal(arrays.train_images, written.images[: 5 * COUNT])
    np.testing.assert_array_equal(arrays.train_labels, written.labels[: 5 * COUNT])
    np.testing.assert_array_equal(arrays.test_images, written.images[5 * COUNT :])
    np.testing.assert_array_equal(arrays.test_labels, written.labels[5 * COUNT :])


def refused(place: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_cifar(place)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-bin"])
def test_binary_folder_or_the_one_around_it(cifar10, tmp_path, inner):
    cifar10.binary(tmp_path / "data" / inner)
    arrays, source = read_cifar(tmp_path / "data")
    check(arrays, cifar10)
    assert str(tmp_path / "data" / inner) in source


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-py"])
def test_python_folder_or_the_one_around_it(cifar10, tmp_path, inner):
    cifar10.python(tmp_path / "data" / inner)
    check(read_cifar(tmp_path / "data")[0], cifar10)


@pytest.mark.parametrize(("name", "suffix"), [("cifar-10-binary.tar.gz", ".bin"), ("cifar-10-python.tar.gz", "")])
def test_archive_or_the_folder_around_it(cifar10, tmp_path, name, suffix):
    path = cifar10.archive(tmp_path / name, suffix)
    for place in (path, tmp_path):
        arrays, source = read_cifar(place)
        check(arrays, cifar10)
        assert str(path) in source
    assert [entry.name for entry in tmp_path.iterdir()] == [name]  # nothing unpacked beside it


def test_nothing_there_says_what_to_do(tmp_path):
    message = refused(tmp_path)
    for part in (str(tmp_path), "cifar-10-binary.tar.gz", "https://www.cs.toronto.edu", ":quick"):
        assert part in message


def test_missing_file_is_named(cifar10, tmp_path):
    folder = cifar10.binary(tmp_path / "data")
    (folder / "data_batch_4.bin").unlink()
    assert "data_batch_4.bin is missing" in refused(folder)


@pytest.mark.parametrize("change", [-1, +1, -COUNT * 3073])
def test_file_of_the_wrong_size_is_named(cifar10, tmp_path, change):
    path = cifar10.binary(tmp_path / "data") / "data_batch_2.bin"
    size = COUNT * 3073 + change
    path.write_bytes((path.read_bytes() + b"\0")[:size])
    message = refused(path.parent)
    assert message.startswith(f"{path} has {size} bytes")
    assert "3073" in message


@pytest.mark.parametrize("stem", ["data_batch_1", "test_batch"])
def test_file_that_lacks_whole_images_is_named(cifar10, tmp_path, stem):
    path = cifar10.binary(tmp_path / "data") / f"{stem}.bin"
    path.write_bytes(path.read_bytes()[: 3 * 3073])
    assert refused(path.parent) == f"{path} holds 3 images, expected 4 as in the other files"


def test_label_over_nine_is_refused(cifar10, tmp_path):
    path = cifar10.binary(tmp_path / "data") / "data_batch_5.bin"
    path.write_bytes(b"\x0a" + path.read_bytes()[1:])
    assert refused(path.parent) == f"{path} has label 10, expected 0 to 9: not CIFAR-10"


def test_huge_file_is_refused_before_it_is_read(cifar10, tmp_path):
    path = cifar10.binary(tmp_path / "data") / "data_batch_1.bin"
    os.truncate(path, 2**40)  # sparse: reading it would not end
    assert f"{path} has {2**40} bytes, expected at most" in refused(path.parent)


class Harm:
    def __reduce__(self):
        return os.system, ("touch harm",)


def test_pickle_that_calls_anything_else_is_refused(cifar10, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = cifar10.python(tmp_path / "data")
    (folder / "data_batch_1").write_bytes(pickle.dumps({"data": Harm()}, protocol=2))
    assert f"data_batch_1: the pickle asks for {os.system.__module__}.system" in refused(folder)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", ["numpy.core.multiarray\nscalar", "numpy\nload", "builtins\neval", "_codecs\nencode"])
def test_pickle_knows_three_names_alone(cifar10, tmp_path, name):
    folder = cifar10.python(tmp_path / "data")
    (folder / "test_batch").write_bytes(b"\x80\x02c" + name.encode() + b"\n.")
    assert f"asks for {name.replace(chr(10), '.')}" in refused(folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"M\x00\x0c\x86", b"M\x01\x0c\x86"),  # 3073 columns
        (b"U\x02u1", b"U\x02O8"),  # an array of objects
        (b"labels", b"Labels"),
        (b"data", b"Data"),
    ],
)
def test_pickle_with_something_else_in_it_is_refused(cifar10, tmp_path, old, new):
    path = cifar10.python(tmp_path / "data") / "data_batch_3"
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    assert str(path) in refused(path.parent)


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_truncated_pickle_is_named(cifar10, tmp_path, kept):
    path = cifar10.python(tmp_path / "data") / "data_batch_3"
    path.write_bytes(path.read_bytes()[:kept])
    assert f"{path} is damaged" in refused(path.parent)


def test_archive_members_elsewhere_and_links_are_not_followed(cifar10, tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    (tmp_path / "secret").write_bytes(cifar10.records()["data_batch_1"])
    with tarfile.open(path, "w:gz") as archive:
        for name in ("../data_batch_1.bin", "/cifar-10-batches-bin/data_batch_1.bin"):
            archive.add(tmp_path / "secret", arcname=name, filter=lambda member, name=name: named(member, name))
        link = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        archive.addfile(link)
    assert "lacks cifar-10-batches-bin/data_batch_1.bin" in refused(path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [path.name, "secret"]


def named(member: tarfile.TarInfo, name: str) -> tarfile.TarInfo:
    member.name = name
    return member


def test_archive_that_names_a_file_twice_is_refused(cifar10, tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin"))
    assert refused(path) == f"{path} holds cifar-10-batches-bin/data_batch_1.bin twice, expected once"


def test_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar_archive, "ARCHIVE_LIMIT_BYTES", 2**20)
    path = tmp_path / "bomb.tar.gz"
    member = tarfile.TarInfo("cifar-10-batches-bin/a_bomb")
    member.size = 2**22
    path.write_bytes(gzip.compress(member.tobuf() + bytes(member.size)))
    with pytest.raises(DataError, match="unpacks to more than 1048576 bytes"):
        read_archive(path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "other", "empty"])
def test_damaged_archive_is_named(cifar10, tmp_path, damage):
    path = cifar10.archive(tmp_path / "cifar-10-binary.tar.gz")
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1  # caught by gzip's checksum alone, if by nothing before
    changed = {"cut": data[:-1000], "flipped": data, "other": b"<html>not found</html>", "empty": b""}[damage]
    path.write_bytes(changed)
    assert str(path) in refused(path)


def test_archive_is_kept_decoded(cifar10, tmp_path, monkeypatch):
    path = cifar10.archive(tmp_path / "cifar-10-binary.tar.gz")
    read_cifar(path)
    monkeypatch.setattr(module, "read_archive", lambda path: pytest.fail("decoded again"))
    check(read_cifar(path)[0], cifar10)


def test_two_files_swapped_are_noticed_by_their_label(cifar10, tmp_path):
    folder = cifar10.python(tmp_path / "data")
    for path in folder.iterdir():
        place = (
            b"testing batch 1 of 1"
            if path.name == "test_batch"
            else b"training batch %b of 5" % path.name[-1:].encode()
        )
        path.write_bytes(path.read_bytes().replace(b"U\x07a batch", b"U" + bytes([len(place)]) + place))
    check(read_cifar(folder)[0], cifar10)
    (folder / "data_batch_2").rename(folder / "aside")
    (folder / "test_batch").rename(folder / "data_batch_2")
    (folder / "aside").rename(folder / "test_batch")
    assert refused(folder) == f"{folder / 'data_batch_2'} holds the images of test_batch: the files are swapped"


def test_one_file_in_the_place_of_two_is_noticed(cifar10, tmp_path):
    folder = cifar10.binary(tmp_path / "data")
    (folder / "data_batch_4.bin").write_bytes((folder / "data_batch_1.bin").read_bytes())
    message = f"{folder / 'data_batch_4.bin'} is the same file as data_batch_1.bin, expected six different ones"
    assert refused(folder) == message
