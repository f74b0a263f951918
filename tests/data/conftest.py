"""Small CIFAR-10s in the official layouts."""

import gzip
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

STEMS = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
COUNT = 4  # images a file


class Cifar10Files:
    """The same random images, written by hand in each layout."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.images = random.integers(0, 256, (6 * COUNT, 32, 32, 3), np.uint8)
        self.labels = random.integers(0, 10, 6 * COUNT).astype(np.uint8)

    def records(self) -> dict[str, bytes]:
        """Label, red plane, green plane, blue plane; image after image."""
        files = {}
        for i, stem in enumerate(STEMS):
            data = b""
            for j in range(i * COUNT, (i + 1) * COUNT):
                data += bytes([self.labels[j]]) + b"".join(self.images[j, :, :, c].tobytes() for c in range(3))
            files[stem] = data
        return files

    def pickles(self) -> dict[str, bytes]:
        return {
            stem: python2_pickle([record[0] for record in split(data)], b"".join(record[1:] for record in split(data)))
            for stem, data in self.records().items()
        }

    def binary(self, folder: Path) -> Path:
        folder.mkdir(parents=True)
        for stem, data in self.records().items():
            (folder / f"{stem}.bin").write_bytes(data)
        return folder

    def python(self, folder: Path) -> Path:
        folder.mkdir(parents=True)
        for stem, data in self.pickles().items():
            (folder / stem).write_bytes(data)
        return folder

    def archive(self, path: Path, suffix: str = ".bin") -> Path:
        folder = "cifar-10-batches-bin" if suffix else "cifar-10-batches-py"
        files = self.records() if suffix else self.pickles()
        # Not in order, as the official archives are not.
        members = {f"{folder}/{stem}{suffix}": files[stem] for stem in reversed(STEMS)}
        return write_archive(path, {f"{folder}/readme.html": b"<p>", **members})


def split(data: bytes) -> list[bytes]:
    return [data[i : i + 3073] for i in range(0, len(data), 3073)]


def python2_pickle(
    labels: list[int], data: bytes, *, labels_key: bytes = b"labels", batch_label: bytes = b"a batch"
) -> bytes:
    """What Python 2 and its NumPy wrote: protocol 2, byte strings, the array rebuilt by numpy.core.multiarray."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    array += b"(K\x01K" + bytes([len(labels)]) + b"M\x00\x0c\x86"  # version 1, shape (n, 3072)
    array += b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array += b"\x89T" + struct.pack("<i", len(data)) + data + b"tb"
    items = text(b"batch_label") + text(batch_label)
    items += text(labels_key) + b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + items + text(b"data") + array + b"u."


def write_archive(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wb", compresslevel=1) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture(scope="session")
def write_python2_pickle() -> Callable[..., bytes]:
    return python2_pickle


@pytest.fixture(scope="session")
def cifar10() -> Cifar10Files:
    return Cifar10Files()


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the user's own cache out of it."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("STRIDEFLAX_CACHE", str(folder))
    return folder
