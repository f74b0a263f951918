"""Where a model downsamples, and what arrives there."""

from typing import Any, NamedTuple

from flax import nnx
from jax import Array

from strideflax.operators.base import Downsample


class Arrival(NamedTuple):
    """What a downsampling operator is called with.

    Attributes:
        x: ``[batch, height, width, channels]``.
        phase: the phase per sample of an adaptive operator, None for all others.
    """

    x: Array
    phase: Array | None


class _Recorder(nnx.Module):
    """A downsampling operator that notes what it is called with."""

    def __init__(self, name: str, operator: Downsample, arrivals: dict[str, Arrival]):
        self.operator = operator
        self._note = lambda arrival: arrivals.__setitem__(name, arrival)

    def __call__(self, x: Array, *, index: Array | None = None, **options: Any) -> Array:
        self._note(Arrival(x, index))
        return self.operator(x, index=index, **options)

    def select(self, x: Array, **options: Any) -> Array | None:
        return self.operator.select(x, **options)


def downsampling_sites(model: nnx.Module) -> dict[str, Downsample]:
    """Return every operator in ``model`` with a stride above 1, by name, e.g. ``"stage2/block1/shortcut"``."""
    return {_name(model, path): operator for path, operator in _operators(model)}


def site_arrivals(model: nnx.Module, x: Array) -> dict[str, Arrival]:
    """Return what arrives at each of `downsampling_sites` when ``model`` sees ``x`` in evaluation.

    Traceable; ``model`` stays as it is.
    """
    copy = nnx.merge(*nnx.split(model))
    arrivals: dict[str, Arrival] = {}
    for path, operator in _operators(copy):
        parent, last = _at(copy, path[:-1]), path[-1]
        recorder = _Recorder(_name(copy, path), operator, arrivals)
        if isinstance(last, int):
            parent[last] = recorder
        else:
            setattr(parent, last, recorder)
    copy(x)
    return arrivals


def _operators(model: nnx.Module) -> list[tuple[tuple[Any, ...], Downsample]]:
    """Return the outermost downsampling operators with their paths, the stem's first."""
    found = {
        path: module
        for path, module in nnx.iter_modules(model)
        if isinstance(module, Downsample) and max(module.stride) > 1
    }
    outermost = [path for path in found if not any(path[:end] in found for end in range(len(path)))]
    return [(path, found[path]) for path in sorted(outermost, key=lambda path: (path[0] == "blocks", path))]


def _at(model: nnx.Module, path: tuple[Any, ...]) -> Any:
    part: Any = model
    for step in path:
        part = part[step] if isinstance(step, int) else getattr(part, step)
    return part


def _name(model: nnx.Module, path: tuple[Any, ...]) -> str:
    """Return a site's name: its path with a block's own name, without the place in a list of layers."""
    steps = path[: path.index("layers")] or path if "layers" in path else path
    if steps[0] == "blocks":
        steps = (_at(model, steps[:2]).name, *steps[2:])
    return "/".join(map(str, steps))
