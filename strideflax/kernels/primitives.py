"""Primitives that differentiate into each other. All that the library uses of JAX's unstable interfaces stands here.

JAX derives the transpose of a linear function by itself, but of one that reads strided slices it is a sum of scattered,
zero-spaced maps. Where the transpose is known in a better form, it is given here as a primitive of its own.

The parts of JAX that may change with any release: `jax.extend.core.Primitive`, `jax.core.ShapedArray`, and
`jax.interpreters.ad`, `batching` and `mlir`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from strideflax.kernels.implementation import lies_on_mesh

Function = Callable[..., Array]


def adjoint_pair(name: str, apply: Function, transpose: Function, *, constants: int = 0) -> Function:
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
        primitive.def_abstract_eval(partial(_shape_of_result, compute))
        ad.defjvp(primitive, partial(_tangent, primitive), *[None] * constants)
        ad.primitive_transposes[primitive] = partial(_transposed, other)
        batching.primitive_batchers[primitive] = partial(_mapped_as_batch, primitive)
        mlir.register_lowering(primitive, mlir.lower_fun(compute, multiple_results=False))

    def call(x: Array, *constants: Array, **static: Any) -> Array:
        if lies_on_mesh(x, *constants):
            return apply(x, *constants, **static)
        return forward.bind(x, *constants, **static)

    return call


def _shape_of_result(compute: Function, *operands: Any, **static: Any) -> ShapedArray:
    shapes = [jax.ShapeDtypeStruct(operand.shape, operand.dtype) for operand in operands]
    result = jax.eval_shape(partial(compute, **static), *shapes)
    return ShapedArray(result.shape, result.dtype)


def _tangent(primitive: Primitive, tangent: Array, x: Array, *constants: Array, **static: Any) -> Array:
    return primitive.bind(tangent, *constants, **static)


def _transposed(other: Primitive, cotangent: Any, x: Any, *constants: Array, **static: Any) -> list[Any]:
    result = ad.Zero(x.aval) if type(cotangent) is ad.Zero else other.bind(cotangent, *constants, **static)
    return [result, *[None] * len(constants)]


def _mapped_as_batch(primitive: Primitive, operands: Any, axes: Any, **static: Any) -> tuple[Array, int]:
    """Map over a new axis as over a larger batch."""
    count = mapped_size(operands, axes)
    folded = []
    for operand, axis in zip(operands, axes, strict=True):
        whole = with_leading_axis(operand, axis, count)
        folded.append(whole.reshape(count * whole.shape[1], *whole.shape[2:]))
    result = primitive.bind(*folded, **static)
    return result.reshape(*whole.shape[:2], *result.shape[1:]), 0


def mapped_size(operands: Any, axes: Any) -> int:
    """Return the size of the axis that `jax.vmap` maps over; an operand with the axis None is not mapped."""
    for operand, axis in zip(operands, axes, strict=True):
        if axis is not None:
            return operand.shape[axis]
    raise ValueError("no operand is mapped")


def with_leading_axis(operand: Array, axis: int | None, count: int) -> Array:
    """Return the operand with the mapped axis in front, repeated ``count`` times if it is not mapped."""
    return jnp.broadcast_to(operand, (count, *operand.shape)) if axis is None else jnp.moveaxis(operand, axis, 0)


@dataclass(frozen=True)
class Target:
    """What a program is lowered for.

    Attributes:
        devices: their number; a foreign call can't be split over several by XLA's partitioner.
        exporting: whether `jax.export` will serialise the program, for another process.
    """

    devices: int
    exporting: bool


class BilinearPrimitive:
    """A function of two arrays, linear in each, with the transposes and the lowering given by hand.

    Args:
        name: as it shows in a jaxpr.
        shape: ``shape(a, b, **static)`` returns the shape of the result.
        compute: the function itself, in JAX's own operations.
        lower_on: per platform, where it is not ``compute``: ``lower_on[platform](a, b, target, **static)`` returns the
            function to compile there; ``a`` and ``b`` have only shape and dtype.
        map_over_axis: ``map_over_axis(operands, axes, **static)`` returns the mapped result and its axis, for `jax.vmap`.
    """

    def __init__(
        self, name: str, shape: Callable, compute: Function, lower_on: Mapping[str, Callable], map_over_axis: Callable
    ):
        self._primitive = primitive = Primitive(name)
        primitive.def_abstract_eval(lambda a, b, **static: ShapedArray(shape(a, b, **static), a.dtype))
        primitive.def_impl(compute)
        batching.primitive_batchers[primitive] = map_over_axis
        mlir.register_lowering(primitive, mlir.lower_fun(compute, multiple_results=False))
        for platform, choose in lower_on.items():
            mlir.register_lowering(primitive, partial(_lower_as_chosen, choose), platform=platform)

    def __call__(self, a: Array, b: Array, **static: Any) -> Array:
        """Compute the function, or trace it."""
        return self._primitive.bind(a, b, **static)

    def define_transposes(self, in_first: Callable, in_second: Callable) -> None:
        """Give the transposes: ``in_first(c, a, b, **static)`` and ``in_second(c, a, b, **static)``.

        A cotangent ``c`` has the shape of the result; the operand asked for is a placeholder with nothing but its ``aval``.
        """
        ad.defbilinear(self._primitive, in_first, in_second)


def _lower_as_chosen(choose: Callable, context: Any, *operands: Any, **static: Any) -> Any:
    module = context.module_context
    target = Target(
        devices=getattr(module.axis_context, "num_devices", 1),
        exporting=bool(getattr(module.lowering_parameters, "for_export", False)),
    )
    chosen = choose(*context.avals_in, target, **static)
    return mlir.lower_fun(chosen, multiple_results=False)(context, *operands)
