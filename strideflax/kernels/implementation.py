"""Which formulation of an operator runs, where several compute the same values: the fastest known, or one that is forced.

`"auto"` is the rule that each operator states beside its measurements; `"lax"` is XLA's plain formulation, with XLA's own
gradients, for comparison. An operator's ``implementation`` argument may force others.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import jax
from jax import Array
from jax.sharding import AxisType

EVERYWHERE = ("auto", "lax")
_ENVIRONMENT = "STRIDEFLAX_IMPLEMENTATION"

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
