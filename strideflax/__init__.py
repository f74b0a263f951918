"""strideflax: downsample by stride or by pooling? Operators, a model, measurements and statistics for JAX and Flax.

The public names stand in `strideflax.public`. They are imported when the first of them is asked for, because importing JAX and
Flax takes a second, and the command line answers ``--help`` without them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strideflax.public import *  # noqa: F403

_MODULES = {
    "claims": "strideflax.analysis.claims",
    "matching": "strideflax.matching",
    "results": "strideflax.analysis.results",
    "statistics": "strideflax.analysis.statistics",
}


def __getattr__(name: str) -> Any:
    """Import a public name, or one of the modules that have a short path of their own, when it is asked for."""
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name == "__all__" or not name.startswith("_"):
        public = importlib.import_module("strideflax.public")
        if name in ("__all__", *public.__all__):
            return getattr(public, name)
    raise AttributeError(f"module 'strideflax' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, for completion in a notebook."""
    return [*_MODULES, *importlib.import_module("strideflax.public").__all__]
