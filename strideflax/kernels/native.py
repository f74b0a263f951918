"""oneDNN's convolutions as calls inside XLA's CPU programs, where it has a kernel for them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
from jax import Array, lax

from strideflax.kernels import onednn
from strideflax.window import Window

WHY_NOT = (
    f"it needs one CPU device, no jax.export, the packages {onednn.PACKAGE} and llvmlite, float32 or bfloat16, and a kernel "
    "of oneDNN's for the shape"
)


def load() -> bool:
    """Prepare this process for programs that call oneDNN and come from another process; return whether it could.

    That is for `jax.experimental.serialize_executable`. A program that this process compiles needs no preparation, and an
    exported one (`jax.export`) calls XLA alone.
    """
    return onednn.machine() is not None


def kernel(
    kind: onednn.Kind, a: Any, b: Any, result: Any, window: Window, groups: int
) -> Callable[[Array, Array], Array] | None:
    """Return a function of two arrays that computes ``kind`` by oneDNN, or None where XLA should do it.

    Args:
        kind: of the three primitives of `strideflax.kernels.convolution`.
        a, b, result: shape and dtype of both operands and of the result.
        window, groups: of the convolution.
    """
    data_type = str(result.dtype)
    if data_type not in onednn.DATA_TYPES or 0 in a.shape or onednn.version() is None:
        return None
    if not all(isinstance(n, int) for n in (*a.shape, *b.shape, *result.shape)):  # jax.export with a symbolic batch
        return None
    if kind == "kernel_gradient" and max(window.stride) > 1 and max(window.size) == 1:
        # oneDNN 3.2 reads and writes beyond its memory where it skips pixels itself. Its result is the same to the bit.
        pixels = jax.eval_shape(partial(_kept_pixels, stride=window.stride), a)
        if pixels.shape[1:-1] != b.shape[1:-1] or any(low for low, _ in window.pads):  # it reads padding too
            return None
        dense = kernel(kind, pixels, b, result, Window.dense(window.size), groups)
        if dense is None:
            return None
        return lambda x, g: dense(_kept_pixels(x, window.stride), g)
    if kind == "kernel_gradient" and data_type == "bfloat16" and _has_idle_taps(window, a.shape[1:-1]):
        return None  # oneDNN 3.2 leaves them something else than 0
    images, weights, outputs = {
        "convolution": (a, b, result),
        "input_gradient": (result, b, a),
        "kernel_gradient": (a, result, b),
    }[kind]
    machine = onednn.machine()
    assert machine is not None
    try:
        calls = onednn.calls(kind, images.shape, weights.shape, outputs.shape, window, groups, data_type=data_type)
    except onednn.Unsupported:
        return None
    return machine.function_of(calls, jax.ShapeDtypeStruct(result.shape, result.dtype))


def _kept_pixels(x: Array, stride: tuple[int, ...]) -> Array:
    """Return the pixels that a strided 1 x 1 kernel reads."""
    return lax.slice(x, (0,) * x.ndim, x.shape, (1, *stride, 1))


def _has_idle_taps(window: Window, map_size: Sequence[int]) -> bool:
    """Whether some tap of the kernel reads nothing but padding."""
    return not all(inside.any(axis=0).all() for inside in window.taps_inside(map_size))
