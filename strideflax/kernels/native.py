"""oneDNN's convolutions as calls inside XLA's CPU programs, where it has a kernel for them."""

from collections.abc import Callable
from typing import Any

import jax
from jax import Array

from strideflax.kernels import onednn

WHY_NOT = (
    f"it needs one CPU device, no jax.export, the packages {onednn.PACKAGE} and llvmlite, float32 or bfloat16, and a kernel "
    "of oneDNN's for the shape"
)


def kernel(kind: onednn.Kind, a: Any, b: Any, result: Any, geometry: Any) -> Callable[[Array, Array], Array] | None:
    """Return a function of two arrays that computes ``kind`` by oneDNN, or None where XLA should do it.

    Args:
        kind: of the three primitives of `strideflax.kernels.convolution`.
        a, b, result: shape and dtype of both operands and of the result.
        geometry: stride, pads, dilation and groups.
    """
    data_type = str(result.dtype)
    if data_type not in onednn.DATA_TYPES or 0 in a.shape or onednn.version() is None:
        return None
    if not all(isinstance(n, int) for n in (*a.shape, *b.shape, *result.shape)):  # jax.export with a symbolic batch
        return None
    images, weights, outputs = {
        "convolution": (a, b, result),
        "input_gradient": (result, b, a),
        "kernel_gradient": (a, result, b),
    }[kind]
    machine = onednn.machine()
    assert machine is not None
    try:
        calls = onednn.calls(kind, images.shape, weights.shape, outputs.shape, *geometry, data_type=data_type)
    except onednn.Unsupported:
        return None
    return machine.function_of(calls, jax.ShapeDtypeStruct(result.shape, result.dtype))
