"""A convolution and its two gradients as three primitives, each of which is the transpose of another.

``convolution(x, kernel)``, ``input_gradient(g, kernel)`` and ``kernel_gradient(x, g)`` are linear in both arguments, and a
derivative of any of them, forwards or backwards, is again one of the three. So whichever way each of them is computed
(by oneDNN, by XLA, by taps or by phases), derivatives of every order are right.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from strideflax.kernels import native
from strideflax.kernels.formulations import by_stacked_phases, by_xla, formulation, is_pointwise, stacks_phases
from strideflax.kernels.implementation import lies_on_mesh, xla_keeps_up
from strideflax.kernels.padding import fill_border
from strideflax.kernels.primitives import BilinearPrimitive, Target, mapped_size, with_leading_axis
from strideflax.window import Window

# Of a batch's outputs, and multiply-adds: a product of fewer takes so long that 40 microseconds for a call of oneDNN count.
FEW_PIXELS, FEW_MACS = 4096, 2**27

Shape = tuple[int, ...]


def convolve(x: Array, kernel: Array, window: Window, *, groups: int = 1, implementation: str = "auto") -> Array:
    """Return ``[batch, *output_size, out_channels]`` of ``x`` and ``kernel``, of one type and checked by the caller.

    Args:
        x: ``[batch, *spatial, in_channels]``.
        kernel: ``[*window.size, in_channels / groups, out_channels]``.
        window: where the kernel lies.
        groups: of channels.
        implementation: of the convolution and of its derivatives: see `strideflax.conv`.
    """
    x, window = fill_border(x, window)
    if lies_on_mesh(x, kernel):  # resolved to "lax" by then
        return by_xla(x, kernel, window, groups)
    return _convolution(x, kernel, window=window, groups=groups, implementation=implementation)


# The three functions: the shape of the result, and its computation in XLA.


def _output_shape(x: Any, kernel: Any, *, window: Window, groups: int, implementation: str) -> Shape:
    return (x.shape[0], *window.output_size(x.shape[1:-1]), kernel.shape[-1])


def _convolve(x: Array, kernel: Array, *, window: Window, groups: int, implementation: str) -> Array:
    if implementation == "auto" and not is_pointwise(window, groups):
        implementation = "lax"  # one call is the fastest forwards
    return formulation(kernel, window, groups, implementation)(x, kernel, window, groups)


def _input_shape(g: Any, kernel: Any, *, map_size: Shape, window: Window, groups: int, implementation: str) -> Shape:
    return (g.shape[0], *map_size, kernel.shape[-2] * groups)


def _differentiate_input(
    g: Array, kernel: Array, *, map_size: Shape, window: Window, groups: int, implementation: str
) -> Array:
    if stacks_phases(kernel, window, groups, implementation):
        return by_stacked_phases(g, kernel, map_size, window, convolve)
    compute = formulation(kernel, window, groups, implementation)
    x = jax.ShapeDtypeStruct((g.shape[0], *map_size, kernel.shape[-2] * groups), g.dtype)
    return jax.linear_transpose(lambda x: compute(x, kernel, window, groups), x)(g)[0]


def _kernel_shape(x: Any, g: Any, *, window: Window, groups: int, implementation: str) -> Shape:
    return (*window.size, x.shape[-1] // groups, g.shape[-1])


def _differentiate_kernel(x: Array, g: Array, *, window: Window, groups: int, implementation: str) -> Array:
    kernel = jax.ShapeDtypeStruct((*window.size, x.shape[-1] // groups, g.shape[-1]), x.dtype)
    compute = formulation(kernel, window, groups, implementation)
    return jax.linear_transpose(lambda kernel: compute(x, kernel, window, groups), kernel)(g)[0]


# How they are lowered on a CPU and on a GPU, and how they map over a batch.


def _choose_on_cpu(name: Any, shape: Any, compute: Any, a: Any, b: Any, target: Target, **how: Any) -> Any:
    """Return what computes the call on a CPU: oneDNN where it takes it, else XLA."""
    window, groups, implementation = how["window"], how["groups"], how["implementation"]
    if name == "input_gradient" and stacks_phases(b, window, groups, implementation):
        return partial(compute, **how)  # in a dense convolution, which comes here in its turn
    if implementation in ("auto", "native") and target.devices == 1 and not target.exporting:
        result = jax.ShapeDtypeStruct(shape(a, b, **how), a.dtype)
        call = native.kernel(name, a, b, result, window, groups)
        if call is not None and not (name == "convolution" and _is_small_product(a, b, **how)):
            return call
        if call is not None:
            how["implementation"] = "lax"
    return partial(_in_xla_on_cpu, compute, **how)


def _is_small_product(x: Any, kernel: Any, *, window: Window, groups: int, implementation: str) -> bool:
    """Whether XLA's convolution is faster than a call of oneDNN's: measured for strided 1 x 1 kernels in float32."""
    strided = max(window.stride) > 1 and is_pointwise(window, groups)
    if not (implementation == "auto" and strided and x.dtype == jnp.float32):
        return False
    pixels = x.shape[0] * math.prod(window.output_size(x.shape[1:-1]))
    return pixels < FEW_PIXELS and pixels * kernel.size < FEW_MACS


def _in_xla_on_cpu(compute: Any, a: Array, b: Array, **how: Any) -> Array:
    """Compute in XLA, where bfloat16 is summed in float32 and the result is not fused with what follows.

    XLA's convolution on a CPU sums in float32 by itself; its matrix product does not, and over a batch that loses a percent.
    XLA for CPU of jax 0.12.0.1 fuses a residual block of bfloat16 convolutions with the mean behind it into one call that
    reads memory it never wrote: NaN, or any number. A plain jax program does that too; the tests have one.
    """
    if a.dtype != jnp.bfloat16:
        return _in_xla(compute, a, b, **how)
    if how["implementation"] == "lax":
        return lax.optimization_barrier(_in_xla(compute, a, b, **how))
    y = _in_xla(compute, a.astype(jnp.float32), b.astype(jnp.float32), **how)
    return lax.optimization_barrier(y.astype(a.dtype))


def _in_xla(compute: Any, a: Array, b: Array, **how: Any) -> Array:
    """Compute in XLA, or refuse what only oneDNN can do."""
    if how["implementation"] == "native":
        raise ValueError(
            f"implementation 'native' can't compute {a.dtype} {a.shape} and {b.shape} here: {native.WHY_NOT}"
        )
    return compute(a, b, **how)


def _choose_on_gpu(compute: Any, a: Any, b: Any, target: Target, **how: Any) -> Any:
    """Return what computes the call on a GPU: XLA's own for the shapes that `xla_keeps_up` with, else taps or phases."""
    if how["implementation"] == "auto" and xla_keeps_up("gpu", how["window"], how["groups"]):
        how["implementation"] = "lax"
    return partial(_in_xla, compute, **how)


def _map_over_images(primitive: Any, operands: Any, axes: Any, **how: Any) -> tuple[Array, int]:
    """Map over images with one kernel for all: as over a larger batch; with a kernel each: see `_map_over_channels`."""
    images, kernel = operands
    if axes[1] is not None:
        return _map_over_channels(primitive, operands, axes, **how)
    images = jnp.moveaxis(images, axes[0], 0)
    y = primitive(images.reshape(images.shape[0] * images.shape[1], *images.shape[2:]), kernel, **how)
    return y.reshape(*images.shape[:2], *y.shape[1:]), 0


def _map_over_channels(primitive: Any, operands: Any, axes: Any, **how: Any) -> tuple[Array, int]:
    """Map over a new axis of both operands: as over more groups of channels."""
    count = mapped_size(operands, axes)
    wide = []
    for operand, axis in zip(operands, axes, strict=True):
        stacked = with_leading_axis(operand, axis, count)
        stacked = jnp.moveaxis(stacked, 0, -2)  # before the channels, which it multiplies
        wide.append(stacked.reshape(*stacked.shape[:-2], count * stacked.shape[-1]))
    y = primitive(*wide, **how | {"groups": how["groups"] * count})
    return y.reshape(*y.shape[:-1], count, y.shape[-1] // count), y.ndim - 1


def _primitive(name: str, shape: Any, compute: Any, map_over_axis: Any) -> BilinearPrimitive:
    def mapped(operands: Any, axes: Any, **how: Any) -> tuple[Array, int]:
        return map_over_axis(primitive, operands, axes, **how)

    primitive = BilinearPrimitive(
        name,
        shape,
        partial(_in_xla, compute),
        {"cpu": partial(_choose_on_cpu, name, shape, compute), "gpu": partial(_choose_on_gpu, compute)},
        mapped,
    )
    return primitive


_convolution = _primitive("convolution", _output_shape, _convolve, _map_over_images)
_input_gradient = _primitive("input_gradient", _input_shape, _differentiate_input, _map_over_images)
_kernel_gradient = _primitive("kernel_gradient", _kernel_shape, _differentiate_kernel, _map_over_channels)

_convolution.define_transposes(
    in_first=lambda c, x, kernel, **how: _input_gradient(c, kernel, map_size=x.aval.shape[1:-1], **how),
    in_second=lambda c, x, kernel, **how: _kernel_gradient(x, c, **how),
)
_input_gradient.define_transposes(
    in_first=lambda c, g, kernel, *, map_size, **how: _convolution(c, kernel, **how),
    in_second=lambda c, g, kernel, *, map_size, **how: _kernel_gradient(c, g, **how),
)
_kernel_gradient.define_transposes(
    in_first=lambda c, x, g, **how: _input_gradient(g, c, map_size=x.aval.shape[1:-1], **how),
    in_second=lambda c, x, g, **how: _convolution(x, c, **how),
)
