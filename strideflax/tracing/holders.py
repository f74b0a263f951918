"""What a Flax NNX module holds under which names, and how to put something else in its place."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
from flax import nnx


@dataclass(frozen=True)
class Place:
    """A place in a model that holds something: an attribute of a module, or an entry of an `nnx.List` or `nnx.Dict`.

    Attributes:
        path: from the model, names of attributes and numbers in lists.
        holder: the module or container.
        key: the last entry of ``path``.
    """

    path: tuple[Any, ...]
    holder: Any
    key: Any

    @property
    def name(self) -> str:
        """The path in words, e.g. "layer1/blocks/0/conv1"."""
        return path_name(self.path)

    @property
    def value(self) -> Any:
        """What stands there."""
        if isinstance(self.holder, nnx.List):
            return self.holder[self.key]
        return getattr(self.holder, self.key)

    def put(self, value: Any) -> None:
        """Put ``value`` there; a module may take the place of a function, which Flax otherwise keeps apart."""
        value = nnx.data(value) if isinstance(value, nnx.Pytree) else value
        if isinstance(self.holder, nnx.List):
            self.holder[self.key] = value
        else:
            setattr(self.holder, self.key, value)


def check_module(model: Any) -> None:
    """Raise TypeError unless ``model`` is a Flax NNX module."""
    if not isinstance(model, nnx.Module):
        got = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"model must be a flax.nnx.Module, got {got}")


def path_name(path: tuple[Any, ...]) -> str:
    """Return a path in words, "model" for the model itself."""
    return "/".join(map(str, path)) or "model"


def places(model: nnx.Module) -> Iterator[Place]:
    """Yield every place of ``model``; what is held twice has two places."""
    for path, node in list(nnx.iter_graph(model, graph=True)):
        if isinstance(node, nnx.List):
            keys: Any = range(len(node))
        elif isinstance(node, nnx.Pytree):  # modules and nnx.Dict
            keys = _attributes(node)
        else:
            continue
        for key in keys:
            yield Place(path=(*path, key), holder=node, key=key)


def modules(model: nnx.Module) -> Iterator[tuple[str, nnx.Module]]:
    """Yield every module of ``model`` once, with the name of the first path to it, in the order of attributes' definition."""
    seen: set[int] = set()
    inside: list[tuple[tuple[Any, ...], Any]] = [((), model)]
    while inside:
        path, node = inside.pop()
        if id(node) in seen:
            continue
        if isinstance(node, nnx.Pytree):
            seen.add(id(node))
        if isinstance(node, nnx.Module) and not isinstance(node, nnx.List | nnx.Dict):
            yield path_name(path), node
        inside += reversed([((*path, key), value) for key, value in _children(node)])


def _children(node: Any) -> list[tuple[Any, Any]]:
    """Return what a module or a container holds that may hold modules."""
    if isinstance(node, nnx.List | list | tuple):
        return list(enumerate(node))
    if isinstance(node, dict):
        return list(node.items())
    if isinstance(node, nnx.Pytree):
        return list(_attributes(node).items())
    return []


def _attributes(node: nnx.Pytree) -> dict[str, Any]:
    """Return what a module or an `nnx.Dict` holds, without what Flax notes there for itself."""
    return {name: value for name, value in vars(node).items() if not name.startswith("_pytree__")}


def substitute(model: nnx.Module, old: nnx.Module, new: nnx.Module) -> None:
    """Put ``new`` wherever ``model`` holds ``old``, also within tuples, lists and dicts."""
    for place in list(places(model)):
        value = place.value
        if value is old:
            place.put(new)
        elif isinstance(value, tuple | list | dict) and _holds(value, old):
            place.put(nnx.data(_with(value, lambda leaf: new if leaf is old else leaf)))


def _with(value: Any, function: Callable[[Any], Any]) -> Any:
    return jax.tree.map(function, value, is_leaf=lambda leaf: isinstance(leaf, nnx.Pytree))


def _holds(value: Any, module: nnx.Module) -> bool:
    leaves = jax.tree.leaves(value, is_leaf=lambda leaf: isinstance(leaf, nnx.Pytree))
    return any(leaf is module for leaf in leaves)
