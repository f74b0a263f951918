"""Compiled programs kept on disk, so that another process that needs the same one does not compile it again."""

import hashlib
from pathlib import Path

import jax

from strideflax.environment import processor
from strideflax.files import cache_folder


def keep_compiled(folder: Path | None = None) -> None:
    """Keep the programs of this process in ``folder``, by default in the user's cache, unless JAX was told another place.

    Programs for a CPU are made for that very processor, so each kind has its own folder.
    """
    if getattr(jax.config, "jax_compilation_cache_dir", None):
        return
    kind = hashlib.sha256(processor().encode()).hexdigest()[:12]
    jax.config.update("jax_compilation_cache_dir", str((folder or cache_folder() / "compiled").absolute() / kind))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
