"""Which formulation of an operator runs, where several compute the same values: the fastest known, or one that is forced.

`"auto"` is the rule that each operator states beside its measurements; `"lax"` is XLA's plain formulation, with XLA's own
gradients, for comparison. An operator's ``implementation`` argument may force others.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

EVERYWHERE = ("auto", "lax")
_ENVIRONMENT = "STRIDEFLAX_IMPLEMENTATION"

_default: ContextVar[str | None] = ContextVar("implementation", default=None)


@contextmanager
def use_implementation(name: str) -> Iterator[None]:
    """Make ``name`` (``"auto"`` or ``"lax"``) the formulation of all operators that are traced within.

    A function that `jax.jit` has traced before keeps what it was traced with. The environment variable
    STRIDEFLAX_IMPLEMENTATION sets the default of a whole process.
    """
    token = _default.set(_checked(name, EVERYWHERE, "implementation"))
    try:
        yield
    finally:
        _default.reset(token)


def resolve_implementation(requested: str | None, known: Sequence[str]) -> str:
    """Return the formulation to run: the ``requested`` one of ``known``, or the default where None.

    Raises:
        ValueError: a name that this operator does not know.
    """
    if requested is not None:
        return _checked(requested, known, "implementation")
    return _default.get() or _checked(os.environ.get(_ENVIRONMENT, "auto"), EVERYWHERE, _ENVIRONMENT)


def _checked(name: str, known: Sequence[str], what: str) -> str:
    if name not in known:
        raise ValueError(f"{what} must be one of {', '.join(known)}, got {name!r}")
    return name
