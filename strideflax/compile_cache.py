"""Compiled programs kept on disk, so that another process that needs the same one does not compile it again.

A kept program is native code, which whoever can write it can make this process run. So programs are kept in the user's own
cache alone, never in a folder of runs, and each is compared with its checksum before it is loaded. JAX has neither.

This file depends on JAX's internals (``jax._src.compilation_cache``); where they are not as expected, nothing is kept.
"""

import contextlib
import hashlib
import os
import stat
import warnings
from collections.abc import Callable
from pathlib import Path

import jax
from jax._src import compilation_cache
from jax._src.compilation_cache_interface import CacheInterface

from strideflax.environment import processor
from strideflax.files import cache_folder, write_whole

DIGEST_BYTES = 32  # of SHA-256


def keep_compiled(note: Callable[[str], None] = lambda line: None, folder: Path | None = None) -> None:
    """Keep the programs of this process, unless JAX was told a place of its own for that.

    Programs for a CPU are made for that very processor, so each kind has its own folder.

    Args:
        note: told, at most once, that a kept program was damaged or that none can be kept.
        folder: where; by default in the user's cache.
    """
    # Such an entry costs the time to compile again; JAX prints a Python warning about each.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")
    if getattr(jax.config, "jax_compilation_cache_dir", None) or not hasattr(compilation_cache, "_cache_initialized"):
        return
    kind = hashlib.sha256(processor().encode()).hexdigest()[:12]
    folder = (folder or cache_folder() / "compiled").absolute() / kind
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return  # a home that can't be written
    if _others_can_write(folder):
        note(f"compiled programs are not kept: others can write to {folder}; chmod go-w it, or delete it")
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    compilation_cache.reset_cache()
    compilation_cache._cache, compilation_cache._cache_initialized = KeptPrograms(folder, note), True


def _others_can_write(folder: Path) -> bool:
    """Return whether anyone but this user and root can put a file into the folder, where the system has such rights."""
    if not hasattr(os, "getuid"):
        return False
    status = folder.stat()
    return status.st_uid != os.getuid() or bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


class KeptPrograms(CacheInterface):
    """JAX's cache of compiled programs with a checksum before each; a bad one is dropped and made anew."""

    def __init__(self, folder: Path, note: Callable[[str], None]):
        self._path = folder
        self._note = note
        self._noted = False
        self._given: set[str] = set()

    def get(self, key: str) -> bytes | None:
        """Return the program kept under ``key``, None if there is none or a damaged one."""
        path = self._file(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        digest, program = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(program).digest() != digest:
            self._drop(path)
            return None
        self._given.add(key)
        return program

    def put(self, key: str, value: bytes) -> None:
        """Keep a program; a disk that is full or read-only costs time, not the run."""
        path = self._file(key)
        if key in self._given:  # yet it was compiled again, so JAX could not load it
            self._drop(path)
        if not path.exists():
            with contextlib.suppress(OSError):
                write_whole(path, hashlib.sha256(value).digest(), value, durable=False)

    def _file(self, key: str) -> Path:
        return self._path / f"{key}.program"

    def _drop(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        if not self._noted:
            self._note(f"a kept program was damaged and is compiled again; they are in {self._path}")
        self._noted = True
