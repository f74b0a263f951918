"""strideflax: downsample by stride or by pooling? Operators, a model, measurements and statistics for JAX and Flax.

The public names stand in `strideflax.public`. They are imported when the first of them is asked for, because importing JAX and
Flax takes a second, and the command line answers ``--help`` without them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strideflax.public import *  # noqa: F403


PUBLIC_MODULES = ("claims", "measure", "results", "statistics")


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for."""
    if name in PUBLIC_MODULES:
        return importlib.import_module(f"strideflax.{name}")
    if name == "__all__" or not name.startswith("_"):
        public = importlib.import_module("strideflax.public")
        if name in ("__all__", *public.__all__):
            return getattr(public, name)
    raise AttributeError(f"module 'strideflax' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, for completion in a notebook."""
    return list(importlib.import_module("strideflax.public").__all__)
