"""How the library compiles its own programs: on a GPU with options under which one seed gives one result.

They are options of each program, so nobody has to set an environment variable before JAX starts. Programs for a CPU or a TPU
need none for that: there XLA gives the same bits anyway.
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

# LLVM spends far longer on the draws of initial values than they take. At level 1 the program has the same bits, while level 0
# gives others. The initial state of stride2:quick compiles in 2.0 instead of 9.5 s (jax 0.12.0.1, two cores of an AMD EPYC VM
# shared with other work, n = 1).
RUNS_ONCE_OPTIONS: dict[str, dict[str, Any]] = {"cpu": {"xla_backend_optimization_level": 1}}

NO_DETERMINISTIC_FORM = (
    "implementation 'lax' of a max pool has no deterministic gradient on a GPU, as XLA has none for its select-and-scatter; "
    "leave the implementation at 'auto', or allow other bits with --fast-nondeterministic"
)


def is_deterministic() -> bool | None:
    """Return whether programs are compiled to give the same bits in every run; None where XLA has no such choice."""
    if jax.default_backend() not in DETERMINISTIC_OPTIONS:
        return None
    return os.environ.get(FAST_NONDETERMINISTIC, "") in ("", "0")


def compiler_options(*, runs_once: bool = False) -> dict[str, Any] | None:
    """Return the options for this process's platform, as `jax.jit` takes them; None for XLA's own."""
    platform = jax.default_backend()
    if is_deterministic():
        return DETERMINISTIC_OPTIONS[platform]
    return RUNS_ONCE_OPTIONS.get(platform) if runs_once else None


class Program:
    """A function that is compiled when it is called first, as by `jax.jit`, with this platform's options.

    They are looked up by then, because importing a module must not start a device. Within another program the function is a
    part of that one, whose options hold.

    Args:
        function: of pytrees of arrays.
        runs_once: whether compiling takes longer than all its calls, so that it should be quick.
        jit_options: of `jax.jit`.
    """

    def __init__(self, function: Callable[..., Any], *, runs_once: bool = False, **jit_options: Any):
        functools.update_wrapper(self, function)
        self._function, self._runs_once, self._jit_options = function, runs_once, jit_options

    @property
    def _options(self) -> dict[str, Any] | None:
        return compiler_options(runs_once=self._runs_once)

    @cached_property
    def _as_xla_likes(self) -> Any:
        return jax.jit(self._function, **self._jit_options)

    @cached_property
    def _with_options(self) -> Any:
        return jax.jit(self._function, compiler_options=self._options, **self._jit_options)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the function, compiled for these arguments."""
        if self._options is None or _are_traced(arguments, named):
            return self._as_xla_likes(*arguments, **named)
        try:
            return self._with_options(*arguments, **named)
        except jax.errors.JaxRuntimeError as error:
            raise _explained(error, self.lower(*arguments, **named)) from None

    def lower(self, *arguments: Any, **named: Any) -> Any:
        """Return the function lowered for these arguments, for `compiled`."""
        jitted = self._as_xla_likes if self._options is None else self._with_options
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
