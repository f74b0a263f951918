"""A checked cache of decoded arrays: written aside and renamed, verified when read, never trusted and never needed.

An entry is one file: a line of JSON (what it was made from, and the SHA-256 of the rest), then the arrays as .npy, one
after another. Its name comes from where the sources lie, so that a changed source replaces its old entry.
"""

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from strideflax.files import cache_folder, write_whole

VERSION = 1  # raised when the meaning of the arrays changes
PIECE_BYTES = 2**22  # read at once to be verified


def cached(sources: Sequence[Path], decode: Callable[[], Sequence[np.ndarray]]) -> Sequence[np.ndarray]:
    """Return ``decode()``, or what it returned when the ``sources`` had the same paths, sizes and times of change."""
    identity = _identity(sources)
    paths = [path for path, _, _ in identity]
    entry = entry_path("cifar10", json.dumps(paths))
    stored = load(entry, identity)
    if stored is not None:
        return stored
    arrays = decode()
    if _identity(sources) == identity:  # else the sources changed meanwhile
        store(entry, identity, arrays)
    return arrays


def entry_path(kind: str, place: str) -> Path:
    """Return the entry of the sources at ``place``, in words; ``kind`` begins its name."""
    return cache_folder() / f"{kind}-{hashlib.sha256(place.encode()).hexdigest()[:16]}.npys"


def load(entry: Path, identity: list[list]) -> list[np.ndarray] | None:
    """Return the arrays in ``entry``, None if it is absent, damaged, or made from other sources."""
    try:
        with entry.open("rb") as file:
            manifest = json.loads(file.readline(2**16))
            if (manifest["version"], manifest["sources"]) != (VERSION, identity):
                return None
            start, digest = file.tell(), hashlib.sha256()
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
            if digest.hexdigest() != manifest["sha256"]:
                return None
            end, arrays = file.tell(), []
            file.seek(start)
            while file.tell() < end:
                arrays.append(np.load(file, allow_pickle=False))  # straight into its memory, as the file is a real one
        return arrays
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def store(entry: Path, identity: list[list], arrays: Sequence[np.ndarray]) -> None:
    """Write ``entry`` in one atomic step; a folder that is full or cannot be written leaves nothing behind."""
    parts: list[bytes | memoryview] = []
    digest = hashlib.sha256()
    for array in arrays:
        array, header = np.ascontiguousarray(array), io.BytesIO()
        np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
        parts += [header.getvalue(), array.reshape(-1).view(np.uint8).data]
    for part in parts:
        digest.update(part)
    manifest = {"version": VERSION, "sources": identity, "sha256": digest.hexdigest()}
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not the run
        write_whole(entry, json.dumps(manifest).encode() + b"\n", *parts, durable=False)


def _identity(sources: Sequence[Path]) -> list[list]:
    """Return path, size and time of change of each source, as JSON holds them."""
    identity: list[list] = []
    for path in sources:
        stat = path.stat()
        identity.append([str(path.resolve()), stat.st_size, stat.st_mtime_ns])
    return identity
