"""The official archives of CIFAR-10 and CIFAR-100, unpacked in memory and never trusted."""

import gzip
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from strideflax.data.cifar_layout import CifarLayout
from strideflax.errors import DataError

ARCHIVE_LIMIT_BYTES = 256 * 2**20  # unpacked; the official archives hold 184 MB


def archive_files(path: Path, layout: CifarLayout) -> tuple[str, dict[str, bytes]]:
    """Read the archive of either layout, e.g. ``cifar-10-binary.tar.gz``, without writing anything to disk.

    Only regular members with the official names are looked at, and never more than `ARCHIVE_LIMIT_BYTES` are unpacked.

    Returns:
        the suffix of the files, which names their layout, and their bytes by stem.

    Raises:
        DataError: a damaged archive, or one without all the files.
    """
    try:
        members = _official_members(path, layout)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or is not a .tar.gz: {error or type(error).__name__}") from None
    suffix = max(members, key=lambda suffix: len(members[suffix]))
    for stem in layout.files:
        if stem not in members[suffix]:
            file = f"{layout.folders[suffix]}/{stem}{suffix}"
            raise DataError(f"{path} lacks {file}: expected all {layout.count_in_words} files of {layout.name}")
    return suffix, members[suffix]


def _official_members(path: Path, layout: CifarLayout) -> dict[str, dict[str, bytes]]:
    """Return the bytes of the members with official names, by suffix and stem."""
    official = {}
    members: dict[str, dict[str, bytes]] = {}
    for suffix, folder in layout.folders.items():
        members[suffix] = {}
        for stem in layout.files:
            official[f"{folder}/{stem}{suffix}"] = (suffix, stem)
    with gzip.open(path) as unpacked:
        stream: Any = _LimitedStream(unpacked, path, layout.name)
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                name = str(PurePosixPath(member.name))
                if name not in official or not member.isreg():
                    continue
                suffix, stem = official[name]
                if stem in members[suffix]:
                    raise DataError(f"{path} holds {name} twice, expected once")
                layout.check_size(path / name, member.size)
                members[suffix][stem] = archive.extractfile(member).read()  # type: ignore[union-attr]
        while stream.read(2**20):  # to the end, where gzip's own checksum is
            pass
    return members


class _LimitedStream:
    """Reads an unpacking stream up to `ARCHIVE_LIMIT_BYTES`, so that a small file cannot fill the memory."""

    def __init__(self, stream: gzip.GzipFile, path: Path, name: str):
        self.stream, self.path, self.name, self.count = stream, path, name, 0

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.count += len(data)
        if self.count > ARCHIVE_LIMIT_BYTES:
            raise DataError(f"{self.path} unpacks to more than {ARCHIVE_LIMIT_BYTES} bytes: not {self.name}")
        return data
