"""How the library compiles its own programs: on a GPU with options under which one seed gives one result.

They are options of each program, so nobody has to set an environment variable before JAX starts. Programs for a CPU or a TPU
have none: there XLA gives the same bits anyway.
"""

import functools
import os
from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax

from strideflax.errors import UserError
from strideflax.process import FAST_NONDETERMINISTIC

# Without this option XLA times several kernels for each operation and takes the fastest, in each process anew, and adds up in
# whatever order threads arrive. One H100, jax 0.11.2, stride2, batch 128, bfloat16, two processes each:
#   without: 59 s of compilation, 1.44 to 1.49 ms per step, losses differ
#   with:    11 s of compilation, 1.55 to 1.59 ms per step, losses equal to the bit
# `xla_gpu_autotune_level=0` alone compiles as fast, and its step takes 77 ms.
DETERMINISTIC_OPTIONS: dict[str, dict[str, Any]] = {"gpu": {"xla_gpu_deterministic_ops": True}}

NO_DETERMINISTIC_FORM = (
    "implementation 'lax' of a max pool has no deterministic gradient on a GPU, as XLA has none for its select-and-scatter; "
    "leave the implementation at 'auto', or allow other bits with --fast-nondeterministic"
)


def be_fast() -> None:
    """Let this process and its children compile for speed alone: on a GPU two runs of one seed then differ."""
    os.environ[FAST_NONDETERMINISTIC] = "1"


def is_deterministic() -> bool | None:
    """Return whether programs are compiled to give the same bits in every run; None where XLA has no such choice."""
    if jax.default_backend() not in DETERMINISTIC_OPTIONS:
        return None
    return os.environ.get(FAST_NONDETERMINISTIC, "") in ("", "0")


def compiler_options() -> dict[str, Any] | None:
    """Return the options for this process's platform, as `jax.jit` takes them; None for XLA's own."""
    return DETERMINISTIC_OPTIONS[jax.default_backend()] if is_deterministic() else None


class Program:
    """A function that is compiled when it is called first, as by `jax.jit`, with this platform's options.

    They are looked up by then, because importing a module must not start a device. Within another program the function is a
    part of that one, whose options hold.

    Args:
        function: of pytrees of arrays.
        jit_options: of `jax.jit`.
    """

    def __init__(self, function: Callable[..., Any], **jit_options: Any):
        functools.update_wrapper(self, function)
        self._function, self._jit_options = function, jit_options

    @cached_property
    def _as_xla_likes(self) -> Any:
        return jax.jit(self._function, **self._jit_options)

    @cached_property
    def _deterministic(self) -> Any:
        return jax.jit(self._function, compiler_options=compiler_options(), **self._jit_options)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the function, compiled for these arguments."""
        if not is_deterministic() or _are_traced(arguments, named):
            return self._as_xla_likes(*arguments, **named)
        try:
            return self._deterministic(*arguments, **named)
        except jax.errors.JaxRuntimeError as error:
            raise _explained(error, self.lower(*arguments, **named)) from None

    def lower(self, *arguments: Any, **named: Any) -> Any:
        """Return the function lowered for these arguments, for `compiled`."""
        jitted = self._deterministic if is_deterministic() else self._as_xla_likes
        return jitted.lower(*arguments, **named)


def compiled(lowered: Any) -> Any:
    """Compile what `Program.lower` returned.

    Raises:
        UserError: the program has no deterministic form.
    """
    try:
        return lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        raise _explained(error, lowered) from None


def _explained(error: Exception, lowered: Any) -> Exception:
    """Return the one line on why XLA could not compile, if we know why, else its own error."""
    has_no_form = is_deterministic() and "select_and_scatter" in lowered.as_text()
    return UserError(NO_DETERMINISTIC_FORM) if has_no_form else error


def _are_traced(arguments: Any, named: Any) -> bool:
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((arguments, named)))
