"""Which functions and modules are pools: those that a trace shows to be one reduction over strided windows, and no more."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from flax import nnx

from strideflax.tracing.steps import REDUCTIONS, equations_of, steps_of
from strideflax.window import Window

# What a mean does besides adding, and what handles a missing batch axis.
BESIDE = {"div", "mul", "convert_element_type", "reshape", "squeeze", "broadcast_in_dim", "expand_dims"}


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A pool on a map of one size.

    Attributes:
        kind: "max_pool", "min_pool", "avg_pool", "sum_pool" or "window".
        window: what slides over the map.
        output: shape of the result.
    """

    kind: str
    window: Window
    output: tuple[int, ...]

    @property
    def output_size(self) -> tuple[int, ...]:
        """Size of the map that comes out."""
        return self.output[-1 - self.window.axes : -1]

    @property
    def constant_gain(self) -> float:
        """What it makes of a map of ones away from the border."""
        return float(math.prod(self.window.size)) if self.kind == "sum_pool" else 1.0

    def is_global(self) -> bool:
        """Whether a single pixel comes out."""
        return math.prod(self.output_size) == 1


def pool_of(function: Callable[..., Any], x: Any) -> Pool | None:
    """Return what pool ``function`` is on ``x``, an array or its shape, or None if it is anything else.

    A pool learns nothing and is one `jax.lax.reduce_window` with a stride above 1; at most its result is divided, as in a
    mean. A function that takes the ReLU besides is none.
    """
    if isinstance(function, nnx.Module) and jax.tree.leaves(nnx.state(function)):
        return None
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    try:
        program, output = jax.make_jaxpr(function, return_shape=True)(shape)
    except (TypeError, ValueError, AssertionError):  # it takes something else
        return None
    names = [equation.primitive.name for equation, _, _ in equations_of(program.jaxpr)]
    steps = [step for step in steps_of(program.jaxpr) if step.window is not None]
    if len(steps) != 1 or steps[0].kind not in REDUCTIONS.values() or not set(names) <= BESIDE | set(REDUCTIONS):
        return None
    (step,) = steps
    window, kind = step.window, step.kind
    if window is None or max(window.stride) == 1 or not hasattr(output, "shape"):
        return None
    if kind == "sum_pool" and {"div", "mul"} & set(names):
        kind = "avg_pool"
    return Pool(kind=kind, window=window, output=tuple(output.shape))
