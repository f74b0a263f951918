"""A model traced on an example: which of its layers are called with what, and what each of them computes."""

import functools
import types
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import jax
from flax import nnx

from strideflax.kernels.implementation import use_implementation
from strideflax.operators.base import Downsample
from strideflax.tracing.holders import Place, modules, places
from strideflax.tracing.steps import Step, steps_of

ModelCall: TypeAlias = Callable[[Any, Any], Any]  # (model, example) -> whatever the model answers
FUNCTIONS = (types.FunctionType, functools.partial, type(jax.jit(len)))
SCOPE = "strideflax:"  # begins the name of a layer's scope; JAX keeps it with every equation


@dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
        input: shape and type of its first argument.
        output: shapes and types of what it answered.
        operator_macs: multiply-adds of one image, if the layer is an operator of strideflax.
    """

    input: jax.ShapeDtypeStruct
    output: Any
    operator_macs: int = 0


@dataclass
class Trace:
    """What a model computes on an example.

    Attributes:
        calls: the calls of each layer, by the name of its first path, in order of the first call.
        steps: all that costs or downsamples, in order.
        images: length of the example's first axis.
        output: shapes and types of what the model answers.
        program: the closed program, of the model's weights, ``arguments``, and then the example.
        operators: those of strideflax, by their scopes.
        layer_scopes: names of all layers by their scopes.
    """

    calls: dict[str, list[Call]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    images: int = 1
    output: Any = None
    program: Any = None
    arguments: tuple[Any, ...] = ()
    operators: dict[str, Downsample] = field(default_factory=dict)
    layer_scopes: dict[str, str] = field(default_factory=dict)

    def layer_of(self, step: Step) -> str:
        """Return the name of the innermost layer that ``step`` stands in."""
        names = [self.layer_scopes[scope] for scope in step.scopes if scope in self.layer_scopes]
        return names[-1] if names else "model"

    def own_macs(self, name: str) -> int:
        """Return the multiply-adds of one image in the layer ``name``, without those of the layers in it."""
        return self._macs([step for step in self.steps if self.layer_of(step) == name], [name])

    def macs_within(self, name: str) -> int:
        """Return the multiply-adds of one image in the layer ``name`` and in all that it holds."""
        scope = scope_of(name)
        within = [path for path in self.calls if path == name or path.startswith(f"{name}/")]
        return self._macs([step for step in self.steps if scope in step.scopes], within)

    @property
    def macs(self) -> int:
        """Multiply-adds of one image."""
        return self._macs(self.steps, list(self.calls))

    def _macs(self, steps: list[Step], layers: list[str]) -> int:
        """Add up steps outside of operators, and what operators say of themselves, whichever way they compute it."""
        total = sum(step.macs for step in steps if not self.operators.keys() & set(step.scopes)) // self.images
        return total + sum(call.operator_macs for name in layers for call in self.calls.get(name, []))


def scope_of(name: str) -> str:
    """Return the scope of the layer ``name``; a slash would divide it in JAX's names."""
    return SCOPE + name.replace("/", ":")


def call_model(model: Any, example: Any) -> Any:
    """Call ``model`` in the plain way."""
    return model(example)


def trace(model: Any, example: Any, call: ModelCall = call_model) -> Trace:
    """Trace ``model`` on ``example``; nothing is computed, and ``model`` stays as it is.

    Args:
        model: any Flax NNX module, with weights or with shapes in place of them; or a function, which has no layers.
        example: its argument, an array or a `jax.ShapeDtypeStruct`, with the batch as the first axis.
        call: calls the model, if ``model(example)`` is not how it is called.

    Raises:
        TypeError: an example that is no array and no shape.
    """
    _check_example(example, call)
    found = Trace(images=_images(example))
    state: Any = None
    if isinstance(model, nnx.Module):
        copy = nnx.clone(model)
        _record(copy, found)
        graph, state = nnx.split(copy)

    def run(state: Any, example: Any) -> Any:
        return call(model if state is None else nnx.merge(graph, state), example)

    with use_implementation("lax"):  # so that our own operators are JAX's operations too
        found.program, found.output = jax.make_jaxpr(run, return_shape=True)(state, example)
    found.arguments = tuple(jax.tree.leaves(state))
    found.steps = steps_of(found.program.jaxpr)
    return found


def _check_example(example: Any, call: ModelCall) -> None:
    """Raise TypeError unless ``example`` is an array or its shape; where ``call`` says how, several in a tuple or a dict."""
    leaves = [example] if call is call_model else jax.tree.leaves(example)
    if not leaves or not all(hasattr(leaf, "shape") and hasattr(leaf, "dtype") for leaf in leaves):
        raise TypeError(
            "example must be an array or a jax.ShapeDtypeStruct, with more than one input a tuple of them and "
            f"call=lambda model, inputs: model(*inputs); got {_described(example)}"
        )
    if not leaves[0].shape:
        raise TypeError("example must have the batch as its first axis, got a number without axes")


def _described(value: Any) -> str:
    return f"a {type(value).__name__}" if isinstance(value, Sized) and not isinstance(value, str) else repr(value)


def _images(example: Any) -> int:
    return jax.tree.leaves(example)[0].shape[0]


def _record(model: nnx.Module, found: Trace) -> None:
    """Let every layer of ``model`` note its calls in ``found`` and name the scope that it computes in.

    The parts of an operator are no layers of their own. The model itself is a layer only if it is one of Flax's or ours.
    """
    functions = list(callables(model))
    operators: list[str] = []
    for name, module in list(modules(model)):
        if (module is model and not _is_layer(model)) or any(name.startswith(f"{operator}/") for operator in operators):
            continue
        if isinstance(module, Downsample):
            operators.append(name)
            found.operators[scope_of(name)] = module
            module.__class__ = _recording_operator(type(module))
        else:
            module.__class__ = _recording(type(module))
        module._note = Note(found, name)  # type: ignore[attr-defined]
        found.layer_scopes[scope_of(name)] = name
    for place in functions:
        found.layer_scopes[scope_of(place.name)] = place.name
        place.put(_recorded(place.value, Note(found, place.name)))


def _is_layer(model: nnx.Module) -> bool:
    """Return whether a whole model is a single layer: an operator of strideflax, or what Flax defines and no user."""
    return isinstance(model, Downsample) or type(model).__module__.startswith("flax.nnx.nn.")


def callables(model: nnx.Module) -> list[Place]:
    """Return the places of ``model`` that hold a function, as a pool in an attribute or in an `nnx.Sequential`."""
    found = []
    for place in places(model):
        of_flax = any(base.__module__.startswith("flax.nnx.nn.") for base in type(place.holder).__mro__)
        if isinstance(place.value, FUNCTIONS) and not of_flax:
            found.append(place)
    return found


@dataclass(frozen=True, eq=False)
class Note:
    """Where a layer notes its calls."""

    trace: Trace
    name: str

    def call(self, function: Callable[..., Any], *args: Any, operator_macs: int = 0, **kwargs: Any) -> Any:
        """Call ``function`` in the layer's scope and note the call."""
        with jax.named_scope(scope_of(self.name)):
            output = function(*args, **kwargs)
        first = args[0] if args else next(iter(kwargs.values()), None)
        if hasattr(first, "shape") and hasattr(first, "dtype"):
            noted = Call(_shape(first), jax.tree.map(_shape, output), operator_macs)
            self.trace.calls.setdefault(self.name, []).append(noted)
        return output


def _shape(value: Any) -> Any:
    return jax.ShapeDtypeStruct(value.shape, value.dtype) if hasattr(value, "dtype") else value


@functools.cache  # Flax keeps every class of modules for good
def _recording(kind: type[nnx.Module]) -> type[nnx.Module]:
    """Return ``kind`` with calls that are noted; it is a ``kind`` in all else."""
    original: Callable[..., Any] = kind.__call__

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Out of sight meanwhile: modules look at their own attributes, as a Linen one within flax.nnx.bridge does.
        note = vars(self).pop("_note", None)
        if note is None:  # calls itself
            return original(self, *args, **kwargs)
        try:
            return note.call(functools.partial(original, self), *args, **kwargs)
        finally:
            vars(self)["_note"] = note

    return type(kind.__name__, (kind,), {"__call__": call})


@functools.cache
def _recording_operator(kind: type[Downsample]) -> type[Downsample]:
    """Return an operator's class with calls that are noted, with their cost."""

    def call(self: Any, x: Any, **options: Any) -> Any:
        macs = operator_macs(self, x.shape[1:-1])
        return self._note.call(functools.partial(kind.__call__, self), x, operator_macs=macs, **options)

    def dense(self: Any, x: Any) -> Any:
        macs = operator_macs(self, x.shape[1:-1], dense=True)
        return self._note.call(functools.partial(kind.dense, self), x, operator_macs=macs)

    return type(kind.__name__, (kind,), {"__call__": call, "dense": dense})


def operator_macs(operator: Downsample, map_size: Sequence[int], *, dense: bool = False) -> int:
    """Return the multiply-adds of one image on a map of ``map_size``; ``dense`` at every position and not at the stride."""
    macs = 0
    for one in operator.passes(map_size):
        if dense:
            one = replace(one, window=one.window.at_stride_one())
        macs += one.macs(map_size)
        map_size = one.output_size(map_size)
    return macs


def _recorded(function: Callable[..., Any], note: Note) -> Callable[..., Any]:
    """Return ``function`` with calls that are noted; of a partial its arguments stay to be seen."""
    if isinstance(function, functools.partial):
        return functools.partial(_recorded(function.func, note), *function.args, **function.keywords)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return note.call(function, *args, **kwargs)

    return call
