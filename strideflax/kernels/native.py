"""oneDNN's convolutions as calls inside XLA's CPU programs, through XLA's foreign function interface.

A foreign function is one C function that XLA calls with the addresses of its operands and of its result. Here it is a
Python function behind ctypes, one for each shape: it costs some 20 microseconds a call, and nothing has to be compiled.
Source of the structures: xla/ffi/api/c_api.h, whose layout XLA keeps (see `jax.ffi`).
"""

import ctypes
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
from jax import Array

from strideflax.kernels import onednn

_Pointer = ctypes.c_void_p


class _Extension(ctypes.Structure):
    """The head of a request that is not a computation; `metadata` is there if it asks for that."""

    _fields_ = (("size", ctypes.c_size_t), ("type", ctypes.c_int), ("next", _Pointer), ("metadata", _Pointer))


class _Metadata(ctypes.Structure):
    """What XLA asks of a function when it is registered; the last member that is known here is its traits."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("version_size", ctypes.c_size_t),
        ("version_extension", _Pointer),
        ("major", ctypes.c_int),
        ("minor", ctypes.c_int),
        ("traits", ctypes.c_uint32),
    )


class _Buffer(ctypes.Structure):
    _fields_ = (("size", ctypes.c_size_t), ("extension", _Pointer), ("type", ctypes.c_int), ("address", _Pointer))


class _Buffers(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("extension", _Pointer),
        ("count", ctypes.c_int64),
        ("types", _Pointer),
        ("buffers", ctypes.POINTER(ctypes.POINTER(_Buffer))),
    )


class _Interface(ctypes.Structure):
    """The functions that XLA offers; the first is `create_error`."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("extension", _Pointer),
        ("version", ctypes.c_byte * 24),
        ("internal", _Pointer),
        ("create_error", ctypes.CFUNCTYPE(_Pointer, _Pointer)),
    )


class _Error(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("extension", _Pointer),
        ("message", ctypes.c_char_p),
        ("code", ctypes.c_int),
    )


class _Call(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("extension", ctypes.POINTER(_Extension)),
        ("interface", ctypes.POINTER(_Interface)),
        ("context", _Pointer),
        ("stage", ctypes.c_int),
        ("operands", _Buffers),
        ("results", _Buffers),
    )


WHY_NOT = f"it needs one CPU device, the package {onednn.PACKAGE}, float32 or bfloat16, and a kernel of oneDNN's for the shape"

_ASKS_FOR_METADATA = 1
_INTERNAL_ERROR = 13
_Function = ctypes.CFUNCTYPE(_Pointer, ctypes.POINTER(_Call))

# oneDNN takes all cores for each call, and a prepared call can't run twice at once.
_one_at_a_time = threading.Lock()
_one_registers = threading.Lock()  # XLA takes each name once
_registered: list[Any] = []  # XLA keeps the addresses of these for as long as the process lives


def kernel(kind: onednn.Kind, a: Any, b: Any, result: Any, geometry: Any) -> Callable[[Array, Array], Array] | None:
    """Return a function of two arrays that computes ``kind`` by oneDNN, or None where XLA should do it.

    Args:
        kind: of the three primitives of `strideflax.kernels.convolution`.
        a, b, result: shape and dtype of both operands and of the result.
        geometry: a `strideflax.kernels.convolution.Geometry`.
    """
    if onednn.version() is None or str(result.dtype) not in onednn.DATA_TYPES or 0 in a.shape:
        return None
    if not all(isinstance(n, int) for n in (*a.shape, *b.shape, *result.shape)):  # jax.export with a symbolic batch
        return None
    with _one_registers:
        name = _register(kind, a.shape, b.shape, result.shape, geometry, str(result.dtype))
    if name is None:
        return None
    return jax.ffi.ffi_call(name, jax.ShapeDtypeStruct(result.shape, result.dtype))


@cache
def _register(
    kind: onednn.Kind, a: tuple[int, ...], b: tuple[int, ...], result: tuple[int, ...], geometry: Any, data_type: str
) -> str | None:
    """Prepare a call for these shapes and make it known to XLA; return its name, which the shapes determine."""
    images, weights, outputs = {
        "convolution": (a, b, result),
        "input_gradient": (result, b, a),
        "kernel_gradient": (a, result, b),
    }[kind]
    try:
        run = onednn.Convolution(kind, images, weights, outputs, *geometry, data_type=data_type).run
    except onednn.Unsupported:
        return None
    function = _Function(_foreign(run))
    _registered.append(function)
    name = f"strideflax.{kind}{(images, weights, outputs, *geometry)}{data_type}".replace(" ", "")
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(ctypes.cast(function, _Pointer).value), platform="cpu")
    return name


def _foreign(run: Callable[[int, int, int], int]) -> Callable[[Any], int | None]:
    """Return the function that XLA calls: null is success."""

    def call(pointer: Any) -> int | None:
        frame = pointer.contents
        if frame.extension and frame.extension.contents.type == _ASKS_FOR_METADATA:
            metadata = ctypes.cast(frame.extension.contents.metadata, ctypes.POINTER(_Metadata)).contents
            metadata.major, metadata.minor, metadata.traits = 0, 1, 0
            return None
        operands, results = frame.operands.buffers, frame.results.buffers
        with _one_at_a_time:
            status = run(operands[0].contents.address, operands[1].contents.address, results[0].contents.address)
        if not status:
            return None
        message = f"oneDNN answered {status}".encode()
        error = _Error(ctypes.sizeof(_Error), None, message, _INTERNAL_ERROR)
        return frame.interface.contents.create_error(ctypes.addressof(error))

    return call
