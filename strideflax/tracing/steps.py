"""What a traced function computes: its convolutions, window reductions, strided slices and matrix products, one by one."""

import inspect
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax
import jax
import jaxlib

from strideflax.tracing.table import numbers_text, shape_text
from strideflax.window import Window

# JAX's name of a reduction over windows -> ours.
REDUCTIONS = {
    "reduce_window_max": "max_pool",
    "reduce_window_sum": "sum_pool",
    "reduce_window_min": "min_pool",
    "reduce_window": "window",
}
LIBRARIES = (
    *(str(Path(inspect.getfile(library)).parent) for library in (jax, jaxlib, flax)),
    str(Path(__file__).parent.parent),
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One equation of a trace that costs multiply-adds or makes a map smaller.

    Attributes:
        kind: "conv", "slice", "matmul", or one of `REDUCTIONS`.
        scopes: names of the scopes that it stands in, the outermost first.
        input, output: shapes.
        window: what slides over the map; None for a matrix product.
        macs: multiply-adds (or compares, or adds) of the whole batch.
        source: where the user's code asks for it, as "file.py:12 in __call__".
    """

    kind: str
    scopes: tuple[str, ...]
    input: tuple[int, ...]
    output: tuple[int, ...]
    window: Window | None
    macs: int
    source: str

    @property
    def stride(self) -> tuple[int, ...]:
        """Per axis; empty for a matrix product."""
        return () if self.window is None else self.window.stride

    @property
    def words(self) -> str:
        """What it is, e.g. "conv 3×3 /2"."""
        return (
            self.kind
            if self.window is None
            else f"{self.kind} {shape_text(self.window.size)} /{numbers_text(self.stride)}"
        )

    @property
    def downsamples(self) -> bool:
        """Whether it leaves out pixels: a stride above 1 along some axis, and more than one pixel left along it."""
        if self.window is None:
            return False
        return any(s > 1 and n > 1 for s, n in zip(self.window.stride, self.output[1:-1], strict=True))


def steps_of(jaxpr: Any) -> list[Step]:
    """Return the steps of ``jaxpr``, from `jax.make_jaxpr`, in order; those inside of `jax.lax.scan` count every time.

    What is computed of constants alone, as the number of real pixels under each window, is left out.
    """
    steps = []
    for equation, scopes, times in equations_of(jaxpr):
        step = step_of(equation, scopes, times)
        if step is not None:
            steps.append(step)
    return steps


def equations_of(jaxpr: Any) -> Iterator[tuple[Any, tuple[str, ...], int]]:
    """Yield every equation that depends on an argument, with its scopes and how often it runs, also of inner programs."""
    inside: list[tuple[Iterator[Any], tuple[str, ...], int, set[Any]]] = [(iter(jaxpr.eqns), (), 1, set())]
    while inside:
        equations, scopes, times, constants = inside[-1]
        equation = next(equations, None)
        if equation is None:
            inside.pop()
            continue
        operands = [v for v in equation.invars if not hasattr(v, "val") and v not in constants]
        if not operands:
            constants.update(equation.outvars)
            continue
        here = (*scopes, *scopes_of(equation))
        programs = inner_programs(equation)
        if not programs:
            yield equation, here, times
        runs = times * equation.params["length"] if equation.primitive.name == "scan" else times
        for program in reversed(programs):
            inside.append((iter(program.eqns), here, runs, set()))


def inner_programs(equation: Any) -> list[Any]:
    """Return the programs that an equation runs: of `jax.jit`, `jax.lax.scan`, `jax.checkpoint`, a custom derivative, ..."""
    found = []
    for value in equation.params.values():
        for entry in value if isinstance(value, tuple) else (value,):
            program = getattr(entry, "jaxpr", entry)
            if hasattr(program, "eqns"):
                found.append(program)
    return found


def scopes_of(equation: Any) -> tuple[str, ...]:
    """Return the names of the scopes that an equation stands in within its program, and of transforms around them."""
    return tuple(re.findall(r"[^/()]+", str(equation.source_info.name_stack)))  # "vmap(jvp(layer))/inner"


def step_of(equation: Any, scopes: tuple[str, ...], times: int = 1) -> Step | None:
    """Return the step that an equation is, None if it neither costs multiply-adds nor makes a map smaller."""
    if not equation.invars:  # as of jnp.arange
        return None
    name = equation.primitive.name
    shape = tuple(equation.invars[0].aval.shape)
    output = tuple(equation.outvars[0].aval.shape)
    window, macs = None, 0
    if name == "conv_general_dilated":
        kind = "conv"
        window = _convolution_window(equation)
        macs = times * math.prod(output) * math.prod(equation.invars[1].aval.shape) // _kernel_outputs(equation)
        numbers = equation.params["dimension_numbers"]
        shape = tuple(shape[axis] for axis in _channels_last(numbers.lhs_spec))
        output = tuple(output[axis] for axis in _channels_last(numbers.out_spec))
    elif name in REDUCTIONS:
        kind = REDUCTIONS[name]
        window = _reduction_window(equation)
        macs = times * math.prod(output) * math.prod(window.size)
    elif name == "dot_general":
        kind = "matmul"
        (contracted, _), _ = equation.params["dimension_numbers"]
        macs = times * math.prod(output) * math.prod(shape[axis] for axis in contracted)
    elif name == "slice" and _strides_in_space(equation):
        kind = "slice"
        window = _slice_window(equation)
    else:
        return None
    return Step(
        kind=kind,
        scopes=scopes,
        input=shape,
        output=output,
        window=window,
        macs=macs,
        source=source_of(equation),
    )


def _channels_last(spec: Sequence[int]) -> tuple[int, ...]:
    """Return the axes of an array in the order batch, space, channels; ``spec`` is batch, channels, space."""
    return (spec[0], *spec[2:], spec[1])


def _kernel_outputs(equation: Any) -> int:
    """Return the output channels of a convolution's kernel."""
    return equation.invars[1].aval.shape[equation.params["dimension_numbers"].rhs_spec[0]]


def _convolution_window(equation: Any) -> Window | None:
    """Return what slides over the input; None for a transposed convolution, whose input has holes."""
    params = equation.params
    if max(params["lhs_dilation"]) > 1:
        return None
    kernel = equation.invars[1].aval.shape
    return Window(
        size=tuple(kernel[axis] for axis in params["dimension_numbers"].rhs_spec[2:]),
        stride=tuple(params["window_strides"]),
        pads=tuple(map(tuple, params["padding"])),
        dilation=tuple(params["rhs_dilation"]),
    )


def _reduction_window(equation: Any) -> Window:
    """Return the window over the spatial axes, those between the first and the last."""
    params = equation.params
    return Window(
        size=tuple(params["window_dimensions"][1:-1]),
        stride=tuple(params["window_strides"][1:-1]),
        pads=tuple(map(tuple, params["padding"][1:-1])),
        dilation=tuple(params["window_dilation"][1:-1]),
    )


def _strides_in_space(equation: Any) -> bool:
    """Whether a slice leaves out pixels between its first and its last axis, and of no other axis."""
    strides = equation.params["strides"]
    return bool(strides) and len(strides) > 2 and strides[0] == strides[-1] == 1 and max(strides) > 1


def _slice_window(equation: Any) -> Window:
    strides = tuple(equation.params["strides"][1:-1])
    return Window.dense((1,) * len(strides)).at_stride(strides)


def source_of(equation: Any) -> str:
    """Return the innermost place outside of JAX, Flax and this library that asked for the equation, "" if there is none."""
    traceback = equation.source_info.traceback
    for frame in traceback.frames if traceback is not None else ():
        if not frame.file_name.startswith(LIBRARIES):
            return f"{Path(frame.file_name).name}:{frame.line_num} in {frame.function_name.rpartition('.')[2]}"
    return ""
