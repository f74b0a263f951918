"""Where a model downsamples, and what arrives there."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from flax import nnx
from jax import Array

from strideflax.operators.base import Downsample

Path: TypeAlias = tuple[Any, ...]  # names of attributes and places in lists, from a model to one of its parts


class Arrival(NamedTuple):
    """What a downsampling operator is called with.

    Attributes:
        x: ``[batch, height, width, channels]``.
        phase: the phase per sample of an adaptive operator, None for all others.
    """

    x: Array
    phase: Array | None


class _Recorder(nnx.Module):
    """Stands in an operator's place: notes what the operator is called with, then calls it."""

    def __init__(self, operator: Downsample, note: Callable[[Arrival], None]):
        self.operator = operator
        self._note = note

    def __call__(self, x: Array, *, index: Array | None = None, **options: Any) -> Array:
        self._note(Arrival(x, index))
        return self.operator(x, index=index, **options)

    def dense(self, x: Array) -> Array:
        return self.operator.dense(x)  # nothing is subsampled here

    def phase(self, map_size: Sequence[int]) -> tuple[float, ...] | None:
        return self.operator.phase(map_size)

    def select(self, x: Array, **options: Any) -> Array | None:
        return self.operator.select(x, **options)


def operator_sites(model: nnx.Module) -> dict[str, Downsample]:
    """Return every operator in ``model`` with a stride above 1, by name, e.g. ``"stage2/block1/shortcut"``."""
    return {_name(model, path): operator for path, operator in _operators(model)}


def site_arrivals(model: nnx.Module, x: Array) -> dict[str, Arrival]:
    """Return what arrives at each of `operator_sites` when ``model`` sees ``x`` in evaluation.

    Traceable; ``model`` stays as it is.
    """
    copy = nnx.merge(*nnx.split(model))
    arrivals: dict[str, Arrival] = {}
    for path, operator in _operators(copy):
        recorder = _Recorder(operator, partial(arrivals.__setitem__, _name(copy, path)))
        parent, place = _at(copy, path[:-1]), path[-1]
        if isinstance(place, int):
            parent[place] = recorder
        else:
            setattr(parent, place, recorder)
    copy(x)
    return arrivals


def _operators(model: nnx.Module) -> list[tuple[tuple[Any, ...], Downsample]]:
    """Return the outermost downsampling operators with their paths, the stem's first."""
    operators = {}
    for path, module in nnx.iter_modules(model):
        if isinstance(module, Downsample) and max(module.stride) > 1:
            operators[path] = module
    outermost = [path for path in operators if not _is_inside(path, operators)]
    outermost.sort(key=lambda path: (path[0] == "blocks", path))
    return [(path, operators[path]) for path in outermost]


def _is_inside(path: Path, operators: dict[Path, Downsample]) -> bool:
    """Return whether the module at ``path`` is a part of one of ``operators``."""
    return any(path[:end] in operators for end in range(len(path)))


def _at(model: nnx.Module, path: Path) -> Any:
    """Return what stands at ``path`` in ``model``."""
    part: Any = model
    for step in path:
        part = part[step] if isinstance(step, int) else getattr(part, step)
    return part


def _name(model: nnx.Module, path: Path) -> str:
    """Return a site's name, e.g. "stage2/block1/reduction" for ``("blocks", 2, "reduction", "layers", 0)``.

    A block stands by its own name, and a place in a list of layers is left out unless it is all that there is.
    """
    end = path.index("layers") if "layers" in path else 0
    steps = path[:end] if end > 0 else path
    if steps[0] == "blocks":
        steps = (_at(model, steps[:2]).name, *steps[2:])
    return "/".join(str(step) for step in steps)
