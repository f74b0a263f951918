"""What every map of a traced network sees of the image: receptive fields, jumps and alignment, carried through its equations.

Convolutions, window reductions, slices and paddings move a field, what is computed pixel by pixel keeps it, and where two
maps meet the field covers both. What is normalised by a mean over the map sees all of it besides. Anything else (a reshaped
map, a loop) ends it: not known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeGuard

from strideflax.operators.base import Downsample
from strideflax.operators.receptive_field import Field, merge_fields, receptive_fields
from strideflax.tracing.recorder import Trace
from strideflax.tracing.steps import Step, inner_programs, scopes_of, source_of, step_of

# Per spatial axis; empty where it is not known, and None of what does not depend on the image.
Fields: TypeAlias = tuple[Field, ...] | None
STATISTIC: Fields = (Field(size=0, jump=0, whole=True),)  # of what is one number for the whole map, as its mean

MERGES = {"add", "sub", "mul", "concatenate", "max", "min", "select_n", "add_any"}
OPAQUE = {"scan", "while"}
# They may bring pixels from anywhere, and do not say so by the shape of what comes out.
MOVES = {"gather", "scatter", "dynamic_slice", "dynamic_update_slice", "rev", "sort", "fft"}
MOVES |= {"cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"}


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """Where two paths are added or stacked.

    Attributes:
        layer: the layer whose call does it.
        source: the place in the user's code.
        shift: how far their outputs' centres are apart, in pixels of the image.
    """

    layer: str
    source: str
    shift: tuple[float, ...]


@dataclass
class FieldMap:
    """The fields of a traced network.

    Attributes:
        layers: of the last map that each layer computes, by its name.
        meetings: where paths of different fields meet, in order.
    """

    layers: dict[str, Fields] = field(default_factory=dict)
    meetings: list[Meeting] = field(default_factory=list)


def fields_of(traced: Trace) -> FieldMap:
    """Return the fields of a network from its trace; the example's spatial axes are those between its first and last."""
    found = FieldMap()
    jaxpr = traced.program.jaxpr
    inputs: list[Fields] = [None] * len(jaxpr.invars)
    image = len(traced.arguments)
    inputs[image] = (Field(),) * (len(jaxpr.invars[image].aval.shape) - 2)
    _carry(jaxpr, inputs, (), traced, found)
    return found


def _carry(
    jaxpr: Any, inputs: Sequence[Fields], scopes: tuple[str, ...], traced: Trace, found: FieldMap
) -> list[Fields]:
    """Carry fields through a program and return those of its outputs."""
    known: dict[Any, Fields] = dict(zip(jaxpr.invars, inputs, strict=True))
    outputs: list[Fields]
    inside = entered = None  # the operator whose equations these are, and the field and size of the map that it got
    for equation in jaxpr.eqns:
        here = (*scopes, *scopes_of(equation))
        operands = [None if hasattr(variable, "val") else known.get(variable) for variable in equation.invars]
        programs = inner_programs(equation)
        operator = next((scope for scope in here if scope in traced.operators), None)
        if operator != inside:  # entered with what its first equation takes, or left
            inside, entered = operator, None
        if all(one is None for one in operands):
            continue
        if () in operands and len(programs) != 1:
            outputs = [()] * len(equation.outvars)
        elif operator is not None and any(map(_is_map, operands)):
            entered = entered or _entry_of(equation, operands)
            outputs = [_in_operator(traced.operators[operator], entered, equation)] * len(equation.outvars)
        elif len(programs) == 1 and equation.primitive.name not in OPAQUE and len(programs[0].invars) == len(operands):
            outputs = _carry(programs[0], operands, here, traced, found)
        elif equation.primitive.name == "cond":
            outputs = _carry_branches(equation, operands[1:], here, traced, found)
        else:
            step = step_of(equation, here)
            outputs = [_after(equation, step, operands)] * len(equation.outvars)
            _note_meeting(equation, here, operands, traced, found)
        known.update(zip(equation.outvars, outputs, strict=True))
        for scope in here:
            if scope in traced.layer_scopes and outputs[0] != STATISTIC:  # as a norm keeps after it has answered
                found.layers[traced.layer_scopes[scope]] = outputs[0]
    return [None if hasattr(variable, "val") else known.get(variable) for variable in jaxpr.outvars]


def _carry_branches(
    equation: Any, inputs: Sequence[Fields], scopes: tuple[str, ...], traced: Trace, found: FieldMap
) -> list[Fields]:
    """Carry fields through a choice; what its branches do not agree in is not known. Those for platforms compute the same."""
    branches = inner_programs(equation)
    if equation.params.get("branches_platforms") is not None:
        branches = branches[:1]
    of_branches = [_carry(branch, inputs, scopes, traced, found) for branch in branches]
    outputs: list[Fields] = []
    for alternatives in zip(*of_branches, strict=True):
        outputs.append(alternatives[0] if len(set(alternatives)) == 1 else ())
    return outputs


def _entry_of(equation: Any, operands: list[Fields]) -> tuple[tuple[Field, ...], tuple[int, ...]]:
    """Return the field and the size of the first map that an equation takes."""
    before = next(fields for fields in operands if _is_map(fields))
    return before, tuple(equation.invars[operands.index(before)].aval.shape[1:-1])


def _is_map(fields: Fields) -> TypeGuard[tuple[Field, ...]]:
    """Return whether these are the fields of a map, and known."""
    return bool(fields) and fields != STATISTIC


def _in_operator(
    operator: Downsample, entered: tuple[tuple[Field, ...], tuple[int, ...]], equation: Any
) -> tuple[Field, ...]:
    """Return what an operator says of its output once a map has that size, and before that what came in."""
    before, map_size = entered
    size = tuple(equation.outvars[0].aval.shape[1:-1])
    passes = operator.passes(map_size)
    small = map_size
    for one in passes:
        small = one.output_size(small)
    if size == small:
        return receptive_fields(passes, before)
    dense = [replace(one, window=one.window.at_stride_one()) for one in passes]
    return receptive_fields(dense, before) if size == map_size else before


def _after(equation: Any, step: Step | None, operands: list[Fields]) -> Fields:
    """Return the field of an equation's output."""
    name = equation.primitive.name
    if () in operands or name in OPAQUE | MOVES:
        return ()
    if not any(map(_is_map, operands)):
        return STATISTIC
    before = next(fields for fields in operands if _is_map(fields))
    shape, output = (
        tuple(variable.aval.shape) for variable in (equation.invars[operands.index(before)], equation.outvars[0])
    )
    if step is not None and step.window is not None:
        window = step.window
        moved = []
        for axis, one in enumerate(before):
            moved.append(
                one.through(window.size[axis], window.stride[axis], window.pads[axis][0], window.dilation[axis])
            )
        return tuple(moved)
    if name in ("pad", "slice") and len(shape) == len(before) + 2:
        if name == "pad":
            offsets = [-low for low, _, _ in equation.params["padding_config"]]
        else:
            offsets = list(equation.params["start_indices"])
        return tuple(_moved(one, offset) for one, offset in zip(before, offsets[1:-1], strict=True))
    if name == "concatenate" and 0 < equation.params["dimension"] < len(shape) - 1:
        return _beside(equation, operands)
    spatial = range(1, 1 + len(before))
    if name.startswith(("reduce_", "arg")) and not {0, *spatial}.isdisjoint(equation.params["axes"]):
        return STATISTIC if set(spatial) <= set(equation.params["axes"]) else ()
    if _mixes_positions(equation, spatial) or output[1 : 1 + len(before)] != shape[1 : 1 + len(before)]:
        return ()
    merged = before
    for other in operands:
        if other == STATISTIC:
            merged = tuple(replace(one, whole=True) for one in merged)
        elif other is not None and other is not before:
            if len(other) != len(merged) or any(a.jump != b.jump for a, b in zip(merged, other, strict=True)):
                return ()
            merged = tuple(merge_fields(a, b)[0] for a, b in zip(merged, other, strict=True))
    return merged


def _mixes_positions(equation: Any, spatial: range) -> bool:
    """Return whether a product or a transposition brings pixels of other places together, though sizes may agree."""
    name = equation.primitive.name
    if name == "transpose":
        return tuple(equation.params["permutation"][1 : spatial.stop]) != tuple(spatial)
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return not set(spatial).isdisjoint(contracted)
    return name == "conv_general_dilated"  # without a window: a transposed one


def _beside(equation: Any, operands: list[Fields]) -> Fields:
    """Return the field of a map with a border of its own pixels at its sides, mirrored or from the other side."""
    axis = equation.params["dimension"]
    sizes = [variable.aval.shape[axis] for variable in equation.invars]
    widest = sizes.index(max(sizes))
    before = operands[widest]
    if before is None:
        return ()
    moved = list(before)
    moved[axis - 1] = _moved(moved[axis - 1], -sum(sizes[:widest]))
    return tuple(moved)


def _moved(one: Field, pixels: int) -> Field:
    return replace(one, start=one.start + pixels * one.jump)


def _note_meeting(
    equation: Any, scopes: tuple[str, ...], operands: list[Fields], traced: Trace, found: FieldMap
) -> None:
    """Note where two maps of different fields meet."""
    fields = [one for one in operands if _is_map(one)]
    if equation.primitive.name not in MERGES or len(fields) < 2 or fields[0] == fields[1]:
        return
    first, second = fields[:2]
    if equation.primitive.name == "concatenate" and 0 < equation.params["dimension"] <= len(first):
        return  # side by side, as a border is put around a map
    if len(first) != len(second) or any(a.jump != b.jump for a, b in zip(first, second, strict=True)):
        return
    shift = tuple(a.start - b.start for a, b in zip(first, second, strict=True))
    names = [traced.layer_scopes[scope] for scope in scopes if scope in traced.layer_scopes]
    found.meetings.append(Meeting(layer=names[-1] if names else "model", source=source_of(equation), shift=shift))
