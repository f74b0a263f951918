"""Where a model downsamples, and what arrives there."""

from functools import cache, partial
from typing import Any, NamedTuple, TypeAlias

from flax import nnx
from jax import Array

from strideflax.model import MiniResNet
from strideflax.operators.base import Downsample
from strideflax.tracing.holders import path_name

Path: TypeAlias = tuple[Any, ...]  # names of attributes and places in lists, from a model to one of its parts


class Arrival(NamedTuple):
    """What a downsampling operator is called with.

    Attributes:
        x: ``[batch, height, width, channels]``.
        phase: the phase per sample of an adaptive operator, None for all others.
    """

    x: Array
    phase: Array | None


@cache  # Flax keeps every class of modules for good
def _noting(kind: type[Downsample]) -> type[Downsample]:
    """Return an operator's class with calls that are noted; `dense`, which subsamples nothing, is not."""

    def call(self: Any, x: Array, *, index: Array | None = None, **options: Any) -> Array:
        self._note(Arrival(x, index))
        return kind.__call__(self, x, index=index, **options)

    return type(kind.__name__, (kind,), {"__call__": call})


def operator_sites(model: nnx.Module) -> dict[str, Downsample]:
    """Return every outermost operator in ``model`` with a stride above 1, by name, e.g. ``"stage2/block1/shortcut"``.

    The stem's come first.
    """
    operators = {}
    for path, module in nnx.iter_modules(model):
        if isinstance(module, Downsample) and max(module.stride) > 1:
            operators[path] = module
    outermost = [path for path in operators if not _is_inside(path, operators)]
    outermost.sort(key=lambda path: (path[:1] == ("blocks",), path))
    short = [_name(model, path) for path in outermost]
    sites = {}
    for path, name in zip(outermost, short, strict=True):
        sites[name if short.count(name) == 1 else path_name(path)] = operators[path]
    return sites


def site_arrivals(model: nnx.Module, x: Array) -> dict[str, Arrival]:
    """Return what arrives at each of `operator_sites` when ``model`` sees ``x`` in evaluation.

    Traceable; ``model`` stays as it is.
    """
    copy = nnx.merge(*nnx.split(model))
    arrivals: dict[str, Arrival] = {}
    for name, operator in operator_sites(copy).items():
        operator.__class__ = _noting(type(operator))
        operator._note = partial(arrivals.__setitem__, name)  # type: ignore[attr-defined]
    copy(x)
    return arrivals


def _is_inside(path: Path, operators: dict[Path, Downsample]) -> bool:
    """Return whether the module at ``path`` is a part of one of ``operators``."""
    return any(path[:end] in operators for end in range(len(path)))


def _name(model: nnx.Module, path: Path) -> str:
    """Return a site's name, e.g. "stage2/block1/reduction" for ``("blocks", 2, "reduction", "layers", 0)``.

    A block of ours stands by its own name, and a place in a list of layers is left out unless it is all that there is.
    """
    end = path.index("layers") if "layers" in path else 0
    steps = path[:end] if end > 0 else path
    if isinstance(model, MiniResNet) and steps[:1] == ("blocks",):
        steps = (model.blocks[steps[1]].name, *steps[2:])
    return path_name(steps)
