"""Which formulation of an operator runs, where several compute the same values: the fastest known, or one that is forced.

`"auto"` is the rule that each operator states beside its measurements; `"lax"` is XLA's plain formulation, with XLA's own
gradients, for comparison. An operator's ``implementation`` argument may force others.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import jax
from jax import Array
from jax.sharding import AxisType

from strideflax.window import Window

EVERYWHERE = ("auto", "lax")
_ENVIRONMENT = "STRIDEFLAX_IMPLEMENTATION"


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """The convolutions that XLA's own formulation, gradients included, computes as fast as any other.

    Attributes:
        axes: spatial ones.
        dilation, groups: at most.
        measured: where that is known from.
    """

    axes: tuple[int, ...]
    dilation: int
    groups: int
    measured: str


# What "auto" leaves to XLA, by platform. A platform that is not here writes the gradients of every strided convolution by taps
# or phases. On a CPU that, or oneDNN, is 1.03 to 36 times as fast as XLA's own (docs/speed.md). Out of the entry of the GPU are
# the shapes for which others saw XLA leave cuDNN and fill a map with zeros: 3-D kernel gradients in bfloat16 (41 and 0.5 ms,
# openxla/xla#34273, jax#31662), dilated windows (25.8 and 0.9 ms, openxla/xla#32231), transposed 1-D ones (jax#23783),
# strided dilated 1-D ones in bfloat16, which fail (jax#37922), and gradients of grouped ones (jax#13800).
# `strideflax bench gpu` times both formulations of each; its rows decide what stands here.
LEFT_TO_XLA = {
    "gpu": Shapes(
        axes=(2,),
        dilation=1,
        groups=1,
        measured="training step of configs/stride2.py on one H100, jax 0.11.2, taps and phases against XLA's own: float32, "
        "batch 128: 1.75-1.84 against 1.60-1.63 ms; bfloat16, batch 128: 1.44-1.49 against 1.58-1.95 ms; bfloat16, batch "
        "1,024: 3.06-3.10 against 2.93-3.12 ms; compilation 44 against 26 s",
    )
}

_default: ContextVar[str | None] = ContextVar("implementation", default=None)


@contextmanager
def use_implementation(name: str) -> Iterator[None]:
    """Make ``name`` (``"auto"`` or ``"lax"``) the formulation of `conv`, `max_pool` and `avg_pool` where traced within.

    A function that `jax.jit` has traced before keeps what it was traced with. The environment variable
    STRIDEFLAX_IMPLEMENTATION sets the default of a whole process.
    """
    token = _default.set(_checked(name, EVERYWHERE, "implementation"))
    try:
        yield
    finally:
        _default.reset(token)


def resolve_implementation(requested: str | None, known: Sequence[str], *operands: Array) -> str:
    """Return the formulation to run on ``operands``: the ``requested`` one of ``known``, or the default where None.

    Raises:
        ValueError: a name that this operator does not know, or one that can't run on operands for which
            `lies_on_mesh` holds.
    """
    if requested is not None:
        name = _checked(requested, known, "implementation")
    else:
        name = _default.get() or _checked(os.environ.get(_ENVIRONMENT, "auto"), EVERYWHERE, _ENVIRONMENT)
    if name == "lax" or not lies_on_mesh(*operands):
        return name
    if name == "auto":
        return "lax"
    raise ValueError(
        f"implementation {name!r} can't run where JAX's types say how arrays lie on a mesh (explicit sharding, jax.shard_map "
        "with check_vma=True); allowed there: auto, lax"
    )


def xla_keeps_up(platform: str, window: Window, groups: int) -> bool:
    """Whether "auto" leaves a convolution and its gradients to XLA on this platform, see `LEFT_TO_XLA`."""
    shapes = LEFT_TO_XLA.get(platform)
    if shapes is None or window.axes not in shapes.axes:
        return False
    return max(window.dilation) <= shapes.dilation and groups <= shapes.groups


def lies_on_mesh(*operands: Array) -> bool:
    """Whether the operands' types say how they lie on a mesh: explicit sharding, or axes of `jax.shard_map` they vary along.

    Only JAX's own operations hand such a type on, and have the sums over the mesh in their gradients.
    """
    types = [jax.typeof(operand) for operand in operands]
    return any(t.manual_axis_type.varying or AxisType.Explicit in t.sharding.mesh.axis_types for t in types)


def _checked(name: str, known: Sequence[str], what: str) -> str:
    if name not in known:
        raise ValueError(f"{what} must be one of {', '.join(known)}, got {name!r}")
    return name
