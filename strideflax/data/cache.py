"""A checked cache of decoded arrays: written aside and renamed, verified when read, never trusted and never needed.

An entry is one file: a line of JSON (what it was made from, and the SHA-256 of the rest), then the arrays as .npy, one
after another. Its name comes from the sources' paths, so that a changed source replaces its old entry.
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


def cached(sources: Sequence[Path], decode: Callable[[], Sequence[np.ndarray]]) -> Sequence[np.ndarray]:
    """Return ``decode()``, or what it returned when the ``sources`` had the same paths, sizes and times of change."""
    identity = _identity(sources)
    paths = [path for path, _, _ in identity]
    name = hashlib.sha256(json.dumps(paths).encode()).hexdigest()[:16]
    entry = cache_folder() / f"cifar10-{name}.npys"
    stored = load(entry, identity)
    if stored is not None:
        return stored
    arrays = decode()
    if _identity(sources) == identity:  # else the sources changed meanwhile
        store(entry, identity, arrays)
    return arrays


def load(entry: Path, identity: list[list]) -> list[np.ndarray] | None:
    """Return the arrays in ``entry``, None if it is absent, damaged, or made from other sources."""
    try:
        with entry.open("rb") as file:
            manifest = json.loads(file.readline(2**16))
            if (manifest["version"], manifest["sources"]) != (VERSION, identity):
                return None
            body = file.read()
        if hashlib.sha256(body).hexdigest() != manifest["sha256"]:
            return None
        stream, arrays = io.BytesIO(body), []
        while stream.tell() < len(body):
            arrays.append(np.load(stream, allow_pickle=False))
        return arrays
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def store(entry: Path, identity: list[list], arrays: Sequence[np.ndarray]) -> None:
    """Write ``entry`` in one atomic step; a folder that is full or cannot be written leaves nothing behind."""
    stream = io.BytesIO()
    for array in arrays:
        np.save(stream, array, allow_pickle=False)
    body = stream.getbuffer()
    manifest = {
        "version": VERSION,
        "sources": identity,
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not the run
        write_whole(entry, json.dumps(manifest).encode() + b"\n", body, durable=False)


def _identity(sources: Sequence[Path]) -> list[list]:
    """Return path, size and time of change of each source, as JSON holds them."""
    identity: list[list] = []
    for path in sources:
        stat = path.stat()
        identity.append([str(path.resolve()), stat.st_size, stat.st_mtime_ns])
    return identity
