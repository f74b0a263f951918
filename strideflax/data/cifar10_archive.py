"""The official archives of CIFAR-10, unpacked in memory and never trusted."""

import gzip
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from strideflax.data.cifar10_layout import FILES, FOLDERS, check_size
from strideflax.errors import DataError

ARCHIVE_LIMIT_BYTES = 256 * 2**20  # unpacked; the official archives hold 184 MB


def archive_files(path: Path) -> tuple[str, dict[str, bytes]]:
    """Read ``cifar-10-binary.tar.gz`` or ``cifar-10-python.tar.gz`` without writing anything to disk.

    Only regular members with the official names are looked at, and never more than `ARCHIVE_LIMIT_BYTES` are unpacked.

    Returns:
        the suffix of the six files, which names their layout, and their bytes by stem.

    Raises:
        DataError: a damaged archive, or one without the six files.
    """
    try:
        members = _official_members(path)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or is not a .tar.gz: {error or type(error).__name__}") from None
    suffix = max(members, key=lambda suffix: len(members[suffix]))
    for stem in FILES:
        if stem not in members[suffix]:
            raise DataError(f"{path} lacks {FOLDERS[suffix]}/{stem}{suffix}: expected all six files of CIFAR-10")
    return suffix, members[suffix]


def _official_members(path: Path) -> dict[str, dict[str, bytes]]:
    """Return the bytes of the members with official names, by suffix and stem."""
    official = {}
    members: dict[str, dict[str, bytes]] = {}
    for suffix, folder in FOLDERS.items():
        members[suffix] = {}
        for stem in FILES:
            official[f"{folder}/{stem}{suffix}"] = (suffix, stem)
    with gzip.open(path) as unpacked:
        stream: Any = _LimitedStream(unpacked, path)
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                name = str(PurePosixPath(member.name))
                if name not in official or not member.isreg():
                    continue
                suffix, stem = official[name]
                if stem in members[suffix]:
                    raise DataError(f"{path} holds {name} twice, expected once")
                check_size(path / name, member.size)
                members[suffix][stem] = archive.extractfile(member).read()  # type: ignore[union-attr]
        while stream.read(2**20):  # to the end, where gzip's own checksum is
            pass
    return members


class _LimitedStream:
    """Reads an unpacking stream up to `ARCHIVE_LIMIT_BYTES`, so that a small file cannot fill the memory."""

    def __init__(self, stream: gzip.GzipFile, path: Path):
        self.stream, self.path, self.count = stream, path, 0

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.count += len(data)
        if self.count > ARCHIVE_LIMIT_BYTES:
            raise DataError(f"{self.path} unpacks to more than {ARCHIVE_LIMIT_BYTES} bytes: not CIFAR-10")
        return data
