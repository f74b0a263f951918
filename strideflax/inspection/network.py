"""The layers of any Flax NNX network, read from a trace: shapes, receptive fields, parameters, multiply-adds, alignment."""

import math
from dataclasses import dataclass
from typing import Any

import jax
from flax import nnx

from strideflax.inspection.count import count_params
from strideflax.surgery.pool_replacement import PoolReplacement
from strideflax.tracing.fields import FieldMap, Fields, Meeting, fields_of
from strideflax.tracing.holders import check_module, modules
from strideflax.tracing.recorder import Call, ModelCall, Trace, call_model, trace
from strideflax.tracing.table import Shown, TextTable, numbers_text, shape_text
from strideflax.wording import counted, quantity

WHOLE = "+: and every other pixel, by a mean over the map: a norm in training, a norm over space, a squeeze."


@dataclass(frozen=True, kw_only=True)
class NetworkLayer:
    """One layer's row.

    Attributes:
        path: in the network, e.g. "layer1/blocks/0/conv1".
        kind: its class, or the function's name.
        output: shape of what its first call answers, without the batch; None if that is no array.
        fields: receptive field, jump and start of its outputs per axis, in pixels of the example; None if not known. A field
            with ``whole`` sees all other pixels as well, through a mean over the map.
        params: learned numbers, of a shared layer at its first path.
        macs: multiply-adds of one image, of all its calls.
        output_bytes: of all its calls' outputs for one image.
        calls: how often it is called.
    """

    path: str
    kind: str
    output: tuple[int, ...] | None
    fields: Fields
    params: int
    macs: int
    output_bytes: int
    calls: int


@dataclass(frozen=True, kw_only=True)
class NetworkInspection(Shown):
    """A network on one example, layer by layer; printed, and shown in a notebook, as a table.

    Attributes:
        example: shape of the input.
        layers: those that learn or compute something themselves, or hold no other called layer, in order of the end of
            their first call.
        rest_macs: multiply-adds of one image outside of all layers, in functions that a ``__call__`` calls.
        params: learned numbers of the network.
        macs: multiply-adds of one image.
        meetings: where two paths are added or stacked that see different pixels.
    """

    example: tuple[int, ...]
    layers: tuple[NetworkLayer, ...]
    rest_macs: int
    params: int
    macs: int
    meetings: tuple[Meeting, ...]

    @property
    def misaligned(self) -> tuple[Meeting, ...]:
        """The meetings whose two paths are not centred on the same pixels."""
        return tuple(meeting for meeting in self.meetings if any(meeting.shift))

    def table(self) -> TextTable:
        """Return the table that is printed."""
        columns = ("layer", "kind", "output", "field", "jump", "start", "params", "MACs", "share", "bytes")
        table = TextTable(columns, left=(0, 1), title=f"example {shape_text(self.example)}")
        for layer in self.layers:
            sizes, jumps, starts = _field_cells(layer.fields)
            table.add(
                layer.path,
                layer.kind if layer.calls == 1 else f"{layer.kind} ({layer.calls} calls)",
                shape_text(layer.output) if layer.output is not None else "",
                sizes,
                jumps,
                starts,
                quantity(layer.params),
                quantity(layer.macs),
                f"{layer.macs / self.macs:.1%}" if layer.macs else "",
                quantity(layer.output_bytes),
            )
        if self.rest_macs:
            share = f"{self.rest_macs / self.macs:.1%}"
            table.add("(functions)", "", "", "", "", "", "", quantity(self.rest_macs), share, "")
        table.note(f"{self.params:,} parameters, {self.macs:,} MACs of one image")
        if any(layer.fields and layer.fields[0].whole for layer in self.layers):
            table.note(WHOLE)
        for meeting in self.misaligned:
            where = ": ".join(filter(None, (meeting.layer, meeting.source)))
            table.note(f"misaligned by {numbers_text(meeting.shift)} px of the image: {where}")
        if self.meetings and not self.misaligned:
            table.note(f"aligned: {counted(len(self.meetings), 'place')} where two paths meet")
        return table


def _field_cells(fields: Fields) -> tuple[str, str, str]:
    if not fields:
        return "", "", ""
    return (
        numbers_text([field.size for field in fields]) + ("+" if fields[0].whole else ""),
        numbers_text([field.jump for field in fields]),
        numbers_text([field.start for field in fields]),
    )


def inspect(model: nnx.Module, example: Any, *, call: ModelCall = call_model) -> NetworkInspection:
    """Inspect any Flax NNX network layer by layer; nothing is computed on the example.

    Multiply-adds are of one image, taps on padding included; those of loops count every time, those of branches all. The
    operators of strideflax count as in `strideflax.inspection.inspect_model`, and elementwise functions count 0.

    Args:
        model: with weights, or with shapes in place of them. It stays as it is.
        example: an input, an array or a `jax.ShapeDtypeStruct`, its first axis the batch.
        call: calls the model, where ``model(example)`` is not how: ``lambda model, x: model(x, train=False)``.

    Raises:
        TypeError: a model that is no Flax NNX module.
    """
    check_module(model)
    traced = trace(model, example, call)
    fields = fields_of(traced)
    held = dict(modules(model))
    layers = []
    unused = {
        f"{path}/pool" for path, module in held.items() if isinstance(module, PoolReplacement)
    }  # kept for its sizes
    for path, calls in traced.calls.items():
        if path in unused:
            continue
        inner = [other for other in traced.calls if other.startswith(f"{path}/")]
        row = _layer(path, calls, held.get(path), [held[other] for other in inner if other in held], traced, fields)
        if row.params or row.macs or not inner:
            layers.append(row)
    return NetworkInspection(
        example=tuple(jax.tree.leaves(example)[0].shape),
        layers=tuple(layers),
        rest_macs=traced.macs - sum(layer.macs for layer in layers),
        params=count_params(model),
        macs=traced.macs,
        meetings=tuple(fields.meetings),
    )


def _layer(
    path: str,
    calls: list[Call],
    module: nnx.Module | None,
    inner: list[nnx.Module],
    traced: Trace,
    fields: FieldMap,
) -> NetworkLayer:
    """Return a layer's row, of what is its own and not of the called layers ``inner`` that it holds."""
    outputs = [leaf for one in calls for leaf in jax.tree.leaves(one.output) if hasattr(leaf, "dtype")]
    first = calls[0].output
    shapes = [_of_one_image(leaf.shape, traced.images) for leaf in outputs]
    output = _of_one_image(first.shape, traced.images) if hasattr(first, "shape") else None
    seen = fields.layers.get(path) or ()
    return NetworkLayer(
        path=path,
        kind="function" if module is None else type(module).__name__,
        output=output,
        fields=seen if seen and output is not None and len(output) == len(seen) + 1 else None,  # of a map
        params=0 if module is None else own_params(module, inner),
        macs=traced.own_macs(path),
        output_bytes=sum(math.prod(s) * leaf.dtype.itemsize for s, leaf in zip(shapes, outputs, strict=True)),
        calls=len(calls),
    )


def _of_one_image(shape: tuple[int, ...], images: int) -> tuple[int, ...]:
    """Return a shape without the batch; within `jax.vmap` it has none."""
    return tuple(shape[1:] if shape[:1] == (images,) else shape)


def own_params(module: nnx.Module, inner: list[nnx.Module]) -> int:
    """Return how many numbers ``module`` learns besides those of the modules ``inner`` that it holds."""
    variables = {id(leaf): leaf for leaf in _params(module)}
    for part in inner:
        for leaf in _params(part):
            variables.pop(id(leaf), None)
    return sum(math.prod(leaf.shape) for leaf in variables.values())


def _params(module: nnx.Module) -> list[nnx.Param]:
    return [node for _, node in nnx.iter_graph(module, graph=True) if isinstance(node, nnx.Param)]
