"""A convolution and its two gradients as three JAX primitives, each of which is the transpose of another.

``convolution(x, kernel)``, ``input_gradient(g, kernel)`` and ``kernel_gradient(x, g)`` are linear in both arguments, and a
derivative of any of them, forwards or backwards, is again one of the three. So whichever way each of them is computed
(by oneDNN, by XLA, by taps or by phases), derivatives of every order are right.

Why the gradients are ours: XLA's input gradient of a strided convolution is a convolution over a zero-spaced gradient. On
CPU that is slow, and for some small shapes its compilation aborts the process. Written by taps or by phases (below) it is
a sum of matrix products or of dense stride-1 convolutions, on every platform.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from strideflax.kernels import native, onednn
from strideflax.kernels.implementation import placed
from strideflax.operators.border import every, pad_border
from strideflax.operators.geometry import Pads, extent, padded_output_size

VECTOR = 16  # float32 numbers in the widest vector of a CPU; an input with fewer channels is thin
# Of a batch's outputs, and multiply-adds: a product of fewer takes so long that 40 microseconds for a call of oneDNN count.
FEW_PIXELS, FEW_MACS = 4096, 2**27
_LAYOUTS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}


class Geometry(NamedTuple):
    """All of a convolution that is not an array, explicit per spatial axis; padding is with zeros."""

    stride: tuple[int, ...]
    pads: Pads
    dilation: tuple[int, ...]
    groups: int


def convolution(x: Array, kernel: Array, geometry: Geometry, implementation: str) -> Array:
    """Return ``[batch, *output_size, out_channels]`` of ``x`` and ``kernel``, of one type and checked by the caller.

    ``implementation`` holds for the derivatives too: see `strideflax.conv`.
    """
    if placed(x, kernel):  # resolved to "lax" by then
        return _by_xla(x, kernel, geometry)
    return _convolution.bind(x, kernel, geometry=geometry, implementation=implementation)


# The three primitives: the shape of the result, and its computation where oneDNN does not do it.


def _output_shape(x: Any, kernel: Any, *, geometry: Geometry, implementation: str) -> ShapedArray:
    outputs = padded_output_size(x.shape[1:-1], kernel.shape[:-2], *geometry[:3])
    return ShapedArray((x.shape[0], *outputs, kernel.shape[-1]), x.dtype)


def _input_shape(g: Any, kernel: Any, *, size: tuple[int, ...], geometry: Geometry, implementation: str) -> ShapedArray:
    return ShapedArray((g.shape[0], *size, kernel.shape[-2] * geometry.groups), g.dtype)


def _kernel_shape(x: Any, g: Any, *, window: tuple[int, ...], geometry: Geometry, implementation: str) -> ShapedArray:
    return ShapedArray((*window, x.shape[-1] // geometry.groups, g.shape[-1]), x.dtype)


def _convolve(x: Array, kernel: Array, *, geometry: Geometry, implementation: str) -> Array:
    if implementation == "auto" and not _is_pointwise(kernel, geometry):
        implementation = "lax"  # one call is the fastest forwards
    return _formulation(kernel, geometry, implementation)(x, kernel, geometry)


def _differentiate_input(
    g: Array, kernel: Array, *, size: tuple[int, ...], geometry: Geometry, implementation: str
) -> Array:
    if _stacks_phases(kernel, geometry, implementation):
        return _by_stacked_phases(g, kernel, size, geometry)
    x = jax.ShapeDtypeStruct((g.shape[0], *size, kernel.shape[-2] * geometry.groups), g.dtype)
    formulation = _formulation(kernel, geometry, implementation)
    return jax.linear_transpose(lambda x: formulation(x, kernel, geometry), x)(g)[0]


def _differentiate_kernel(
    x: Array, g: Array, *, window: tuple[int, ...], geometry: Geometry, implementation: str
) -> Array:
    kernel = jax.ShapeDtypeStruct((*window, x.shape[-1] // geometry.groups, g.shape[-1]), x.dtype)
    formulation = _formulation(kernel, geometry, implementation)
    return jax.linear_transpose(lambda kernel: formulation(x, kernel, geometry), kernel)(g)[0]


# How they lower and how they map over a batch.


def _lower_on_cpu(
    name: onednn.Kind, shape: Callable, compute: Callable, context: Any, *operands: Any, **how: Any
) -> Any:
    """Lower to oneDNN where it takes the call, else to XLA."""
    a, b = context.avals_in
    # A foreign call can't be split over devices by XLA's partitioner.
    alone = getattr(context.module_context.axis_context, "num_devices", 1) == 1
    lowered: Callable | None = None
    if name == "input_gradient" and _stacks_phases(b, how["geometry"], how["implementation"]):
        lowered = partial(compute, **how)  # in a dense convolution, which comes here in its turn
    elif how["implementation"] in ("auto", "native") and alone:
        lowered = native.kernel(name, a, b, shape(a, b, **how), how["geometry"])
        if lowered is not None and name == "convolution" and _is_small_product(a, b, **how):
            lowered, how["implementation"] = None, "lax"
    lowered = lowered or partial(_on_cpu(_in_xla(compute)), **how)
    return mlir.lower_fun(lowered, multiple_results=False)(context, *operands)


def _on_cpu(compute: Callable) -> Callable:
    """Return ``compute``, where bfloat16 is summed in float32 and the result is not fused with what follows.

    XLA's convolution on a CPU sums in float32 by itself; its matrix product does not, and over a batch that loses a percent.
    XLA for CPU of jax 0.12.0.1 fuses a residual block of bfloat16 convolutions with the mean behind it into one call that
    reads memory it never wrote: NaN, or any number. A plain jax program does that too; the tests have one.
    """

    def computed(a: Array, b: Array, **how: Any) -> Array:
        if a.dtype != jnp.bfloat16:
            return compute(a, b, **how)
        if how["implementation"] == "lax":
            return lax.optimization_barrier(compute(a, b, **how))
        y = compute(a.astype(jnp.float32), b.astype(jnp.float32), **how)
        return lax.optimization_barrier(y.astype(a.dtype))

    return computed


def _in_xla(compute: Callable) -> Callable:
    """Return ``compute``, refusing what only oneDNN can do."""

    def computed(a: Array, b: Array, *, implementation: str, **how: Any) -> Array:
        if implementation == "native":
            raise ValueError(
                f"implementation 'native' can't compute {a.dtype} {a.shape} and {b.shape} here: {native.WHY_NOT}"
            )
        return compute(a, b, implementation=implementation, **how)

    return computed


def _batched(
    primitive: Primitive, operands: tuple[Array, Array], axes: tuple[Any, Any], **how: Any
) -> tuple[Array, int]:
    """Map a primitive over a new axis of its operands: as a larger batch, or as more groups of channels."""
    count = next(a.shape[axis] for a, axis in zip(operands, axes, strict=True) if axis is not None)
    images, kernel_axis = operands[0], axes[1]
    if primitive is not _kernel_gradient and kernel_axis is None:
        images = jnp.moveaxis(images, axes[0], 0)
        y = primitive.bind(images.reshape(count * images.shape[1], *images.shape[2:]), operands[1], **how)
        return y.reshape(*images.shape[:2], *y.shape[1:]), 0
    wide = []
    for a, axis in zip(operands, axes, strict=True):
        a = jnp.broadcast_to(a, (count, *a.shape)) if axis is None else jnp.moveaxis(a, axis, 0)
        a = jnp.moveaxis(a, 0, -2)  # before the channels, which it multiplies
        wide.append(a.reshape(*a.shape[:-2], count * a.shape[-1]))
    geometry = how.pop("geometry")
    y = primitive.bind(*wide, geometry=geometry._replace(groups=geometry.groups * count), **how)
    return y.reshape(*y.shape[:-1], count, y.shape[-1] // count), y.ndim - 1


def _bilinear(
    name: onednn.Kind, shape: Callable, compute: Callable, transposes: tuple[Callable, Callable]
) -> Primitive:
    """Return a primitive that is linear in both arguments, with the transpose in each."""
    primitive = Primitive(name)
    primitive.def_abstract_eval(shape)
    primitive.def_impl(_in_xla(compute))
    ad.defbilinear(primitive, *transposes)
    batching.primitive_batchers[primitive] = partial(_batched, primitive)
    mlir.register_lowering(primitive, mlir.lower_fun(_in_xla(compute), multiple_results=False))
    mlir.register_lowering(primitive, partial(_lower_on_cpu, name, shape, compute), platform="cpu")
    return primitive


# Their transposes. A cotangent `c` has the shape of the result; the argument asked for comes as a placeholder with nothing
# but its `aval`.

_convolution: Primitive
_input_gradient: Primitive
_kernel_gradient: Primitive
_convolution = _bilinear(
    "convolution",
    _output_shape,
    _convolve,
    (
        lambda c, x, kernel, **how: _input_gradient.bind(c, kernel, size=x.aval.shape[1:-1], **how),
        lambda c, x, kernel, **how: _kernel_gradient.bind(x, c, window=kernel.aval.shape[:-2], **how),
    ),
)
_input_gradient = _bilinear(
    "input_gradient",
    _input_shape,
    _differentiate_input,
    (
        lambda c, g, kernel, *, size, **how: _convolution.bind(c, kernel, **how),
        lambda c, g, kernel, *, size, **how: _kernel_gradient.bind(c, g, window=kernel.aval.shape[:-2], **how),
    ),
)
_kernel_gradient = _bilinear(
    "kernel_gradient",
    _kernel_shape,
    _differentiate_kernel,
    (
        lambda c, x, g, *, window, **how: _input_gradient.bind(g, c, size=x.aval.shape[1:-1], **how),
        lambda c, x, g, *, window, **how: _convolution.bind(x, c, **how),
    ),
)


# Formulations in XLA, all equal.

Formulation = Callable[[Array, Array, Geometry], Array]


def _formulation(kernel: Any, geometry: Geometry, implementation: str) -> Formulation:
    """Return the formulation of that name, or the one whose gradients are the fastest.

    Its transpose turns a product per tap into one matrix product per tap, the fastest gradient where the channels fill a
    vector unit; the phases' convolutions win for grouped inputs and for the kernel of a thin one, whose own gradient has its
    phases stacked (below). At stride 1 XLA's own are sound and fast.
    """
    if implementation == "taps" and geometry.groups > 1:  # one group, mapped over a batch of kernels
        implementation = "phases"
    if implementation in _FORMULATIONS:
        return _FORMULATIONS[implementation]
    if _is_pointwise(kernel, geometry):
        return _by_tap  # a matrix product over every s-th pixel
    if set(geometry.stride) == {1}:
        return _by_xla
    return _by_tap if geometry.groups == 1 and kernel.shape[-2] >= VECTOR else _by_phase


def _is_pointwise(kernel: Any, geometry: Geometry) -> bool:
    return set(kernel.shape[:-2]) == {1} and geometry.groups == 1


def _is_small_product(x: Any, kernel: Any, *, geometry: Geometry, implementation: str) -> bool:
    """Whether XLA's convolution is faster than a call of oneDNN's: measured for strided 1 x 1 kernels in float32."""
    pixels = math.prod(_output_shape(x, kernel, geometry=geometry, implementation=implementation).shape[:-1])
    strided = max(geometry.stride) > 1 and _is_pointwise(kernel, geometry)
    small = pixels < FEW_PIXELS and pixels * kernel.size < FEW_MACS
    return implementation == "auto" and strided and x.dtype == jnp.float32 and small


def _by_xla(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """The one call to XLA's convolution."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=geometry.stride,
        padding=geometry.pads,
        rhs_dilation=geometry.dilation,
        dimension_numbers=_LAYOUTS[len(geometry.stride)],
        feature_group_count=geometry.groups,
    )


def _by_phase(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """The strided convolution as a sum of stride-1 convolutions, one for each phase of the input that the kernel touches.

    Along one axis tap ``t`` reads ``x[s i + d t]``. Taps that differ by ``q = s / gcd(s, d)`` read the same phase of the
    input (its every s-th pixel), ``d q / s`` pixels of that phase apart. The multiply-adds are those of the direct form.
    """
    stride, _, dilation, groups = geometry
    x, outputs = _padded(x, kernel, geometry)
    total = None
    apart = tuple(s // math.gcd(s, d) for s, d in zip(stride, dilation, strict=True))
    spread = tuple(d // math.gcd(s, d) for s, d in zip(stride, dilation, strict=True))
    dense = Geometry((1,) * len(stride), ((0, 0),) * len(stride), spread, groups)
    for first in np.ndindex(*map(min, apart, kernel.shape[:-2])):
        taps = kernel[tuple(slice(t, None, q) for t, q in zip(first, apart, strict=True))]
        reach = [o + k_e - 1 for o, k_e in zip(outputs, extent(taps.shape[:-2], spread), strict=True)]
        component = every(x, [t * d for t, d in zip(first, dilation, strict=True)], reach, stride)
        part = _by_xla(component, taps, dense)
        total = part if total is None else total + part
    assert total is not None  # a kernel has at least one tap
    return total


def _by_tap(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """The strided convolution as one matrix product per tap (one group)."""
    x, outputs = _padded(x, kernel, geometry)
    total = None
    for tap in np.ndindex(*kernel.shape[:-2]):
        first = [t * d for t, d in zip(tap, geometry.dilation, strict=True)]
        component = every(x, first, outputs, geometry.stride)
        part = lax.dot_general(component, kernel[tap], (((x.ndim - 1,), (0,)), ((), ())))
        total = part if total is None else total + part
    assert total is not None
    return total


def _stacks_phases(kernel: Any, geometry: Geometry, implementation: str) -> bool:
    """Whether `_by_stacked_phases` is the input's gradient: of a strided convolution of a thin input, as of an image."""
    stride, _, dilation, groups = geometry
    thin = kernel.shape[-2] < VECTOR and groups == 1
    return (
        implementation == "auto"
        and thin
        and max(stride) > 1
        and max(dilation) == 1
        and not _is_pointwise(kernel, geometry)
    )


def _by_stacked_phases(g: Array, kernel: Array, size: tuple[int, ...], geometry: Geometry) -> Array:
    """The input's gradient as one dense convolution, from whose channels the phases of the input are taken apart.

    Per axis the padded input's pixel ``s q + p`` gets ``sum_u kernel[s u + p] g[q - u]``: for all ``p`` together that is a
    stride-1 convolution of ``g`` with s times the channels. For the stem of 3 channels at stride 2 it fills a vector with 12
    of them where the direct form fills 3.
    """
    (stride, pads, _, _), window, (inputs, outputs) = geometry, kernel.shape[:-2], kernel.shape[-2:]
    axes, reach = len(stride), [-(-k // s) for k, s in zip(window, stride, strict=True)]
    taps = jnp.pad(kernel, [(0, u * s - k) for u, s, k in zip(reach, stride, window, strict=True)] + [(0, 0)] * 2)
    taps = taps.reshape(*(length for pair in zip(reach, stride, strict=True) for length in pair), inputs, outputs)
    steps, phases = range(0, 2 * axes, 2), range(1, 2 * axes, 2)
    taps = jnp.flip(taps, steps).transpose(*steps, 2 * axes + 1, *phases, 2 * axes)
    blocks = [-(-(low + n) // s) for (low, _), n, s in zip(pads, size, stride, strict=True)]
    g = g[:, *(slice(q) for q in blocks)]
    around = tuple((u - 1, q - m) for u, q, m in zip(reach, blocks, g.shape[1:-1], strict=True))
    dense = Geometry((1,) * axes, around, (1,) * axes, 1)
    stacked = convolution(g, taps.reshape(*reach, outputs, -1), dense, "auto").reshape(-1, *blocks, *stride, inputs)
    pairs = (axis for pair in zip(range(1, axes + 1), range(axes + 1, 2 * axes + 1), strict=True) for axis in pair)
    spread = stacked.transpose(0, *pairs, 2 * axes + 1)
    whole = spread.reshape(-1, *(q * s for q, s in zip(blocks, stride, strict=True)), inputs)
    return whole[:, *(slice(low, low + n) for (low, _), n in zip(pads, size, strict=True))]


_FORMULATIONS: dict[str, Formulation] = {"lax": _by_xla, "taps": _by_tap, "phases": _by_phase}


def _padded(x: Array, kernel: Array, geometry: Geometry) -> tuple[Array, tuple[int, ...]]:
    outputs = padded_output_size(x.shape[1:-1], kernel.shape[:-2], *geometry[:3])
    return pad_border(x, geometry.pads, "zeros"), outputs
