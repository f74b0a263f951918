"""A traced function computed equation by equation, so that a measure sees what comes in at each of them."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from strideflax.tracing.steps import inner_programs, scopes_of

# Called with an equation, its operands and the scopes that it stands in, before it is computed.
Visit: TypeAlias = Callable[[Any, list[Any], tuple[str, ...]], None]

# Equations that only hold a program: it is computed in their place. Loops and branches are computed whole.
TRANSPARENT = {"jit", "pjit", "closed_call", "core_call", "remat", "checkpoint", "custom_jvp_call", "custom_vjp_call"}


def compute(program: Any, arguments: Sequence[Any], visit: Visit) -> list[Any]:
    """Return the outputs of ``program``, a closed one from `jax.make_jaxpr`; ``visit`` sees its equations in order."""
    return _compute(program.jaxpr, program.consts, arguments, visit, ())


def _compute(
    jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Any], visit: Visit, scopes: tuple[str, ...]
) -> list[Any]:
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))

    def read(variable: Any) -> Any:
        return variable.val if hasattr(variable, "val") else values[variable]

    for equation in jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        here = (*scopes, *scopes_of(equation))
        if equation.primitive.name in TRANSPARENT:
            (inner,) = inner_programs(equation)
            constants = next((p.consts for p in equation.params.values() if hasattr(p, "consts")), [])
            outputs = _compute(inner, constants, operands, visit, here)
        else:
            visit(equation, operands, here)
            found = equation.primitive.bind(*operands, **equation.primitive.get_bind_params(equation.params))
            outputs = found if equation.primitive.multiple_results else [found]
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(variable) for variable in jaxpr.outvars]
