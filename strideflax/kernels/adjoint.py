"""A linear function and its transpose, both written out, as two JAX primitives that differentiate into each other.

JAX derives the transpose of a linear function by itself, but of one that reads strided slices it is a sum of scattered,
zero-spaced maps. Where the transpose is known in a better form, it is given here.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from strideflax.kernels.implementation import placed

Linear = Callable[..., Array]


def adjoint_pair(name: str, apply: Linear, transpose: Linear, *, constants: int = 0) -> Linear:
    """Return ``apply(x, *constants, **static)``, differentiable to any order by ``transpose(g, *constants, **static)``.

    Args:
        name: of the primitive, as it shows in a jaxpr.
        apply: linear in its first argument. All arrays have the batch as their leading axis.
        transpose: its transpose; it gets the same constants and static arguments, which have to tell it the shape of x.
        constants: number of arrays beside x; they have no derivative.
    """
    forward, backward = Primitive(name), Primitive(f"{name}_transpose")
    for primitive, compute, other in ((forward, apply, backward), (backward, transpose, forward)):
        primitive.def_impl(compute)
        primitive.def_abstract_eval(partial(_shape, compute))
        ad.defjvp(primitive, partial(_tangent, primitive), *[None] * constants)
        ad.primitive_transposes[primitive] = partial(_transposed, other)
        batching.primitive_batchers[primitive] = partial(_batched, primitive)
        mlir.register_lowering(primitive, mlir.lower_fun(compute, multiple_results=False))

    def call(x: Array, *constants: Array, **static: Any) -> Array:
        if placed(x, *constants):
            return apply(x, *constants, **static)
        return forward.bind(x, *constants, **static)

    return call


def _shape(compute: Linear, *operands: Any, **static: Any) -> ShapedArray:
    shapes = [jax.ShapeDtypeStruct(operand.shape, operand.dtype) for operand in operands]
    result = jax.eval_shape(partial(compute, **static), *shapes)
    return ShapedArray(result.shape, result.dtype)


def _tangent(primitive: Primitive, tangent: Array, x: Array, *constants: Array, **static: Any) -> Array:
    return primitive.bind(tangent, *constants, **static)


def _transposed(other: Primitive, cotangent: Any, x: Any, *constants: Array, **static: Any) -> list[Any]:
    result = ad.Zero(x.aval) if type(cotangent) is ad.Zero else other.bind(cotangent, *constants, **static)
    return [result, *[None] * len(constants)]


def _batched(primitive: Primitive, operands: Any, axes: Any, **static: Any) -> tuple[Array, int]:
    """Map over a new axis as over a larger batch."""
    count = next(operand.shape[axis] for operand, axis in zip(operands, axes, strict=True) if axis is not None)
    folded = []
    for operand, axis in zip(operands, axes, strict=True):
        whole = jnp.broadcast_to(operand, (count, *operand.shape)) if axis is None else jnp.moveaxis(operand, axis, 0)
        folded.append(whole.reshape(count * whole.shape[1], *whole.shape[2:]))
    result = primitive.bind(*folded, **static)
    return result.reshape(*whole.shape[:2], *result.shape[1:]), 0
