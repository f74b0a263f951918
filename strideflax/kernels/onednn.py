"""oneDNN's convolutions, called through its C interface (version 3) by ctypes, so that nothing has to be compiled.

oneDNN is the library that PyTorch and TensorFlow compute convolutions with on x86 CPUs. It comes as the package
`onednn-cpu-gomp`. Source: the oneDNN developer guide, https://uxlfoundation.github.io/oneDNN.
"""

import ctypes
import importlib.metadata
import math
import os
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

PACKAGE = "onednn-cpu-gomp"
DATA_TYPES = {"float32": 3, "bfloat16": 2}

Kind = Literal["convolution", "input_gradient", "kernel_gradient"]

# Values of the enumerations in dnnl_types.h and dnnl_common_types.h.
_CPU, _IN_ORDER, _ANY_LAYOUT, _TRAINING, _DIRECT = 1, 1, 1, 64, 1
_QUERY_NAME, _QUERY_WEIGHTS, _QUERY_WEIGHTS_GRADIENT = 8, 131, 132
_SOURCE, _TARGET, _WEIGHTS = 1, 17, 33
_SOURCE_GRADIENT, _TARGET_GRADIENT, _WEIGHTS_GRADIENT = 129, 145, 161
_ALLOCATE = ctypes.c_size_t(-1).value

_Dimensions = ctypes.c_int64 * 12
_Pointer = ctypes.c_void_p


class Unsupported(Exception):
    """oneDNN has no fast kernel for this convolution."""


class _Argument(ctypes.Structure):
    _fields_ = (("place", ctypes.c_int), ("memory_create", _Pointer))


class _Version(ctypes.Structure):
    _fields_ = (("major", ctypes.c_int), ("minor", ctypes.c_int), ("patch", ctypes.c_int))


@cache
def version() -> str | None:
    """Return the version of oneDNN that runs here, or None where it is not installed or can't be loaded."""
    library = _library()
    if library is None:
        return None
    library.dnnl_version.restype = ctypes.POINTER(_Version)
    found = library.dnnl_version().contents
    return f"{found.major}.{found.minor}.{found.patch}"


@cache
def _library() -> ctypes.CDLL | None:
    try:
        files = importlib.metadata.files(PACKAGE) or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    # Its threads must sleep between calls: spinning, they would take the cores from XLA's.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    for file in files:
        if file.name == "libdnnl.so.3":
            try:
                library = ctypes.CDLL(str(file.locate()))
            except OSError:  # built for another processor, or without its OpenMP runtime
                return None
            library.dnnl_primitive_desc_query_md.restype = _Pointer
            library.dnnl_memory_set_data_handle.argtypes = (_Pointer, _Pointer)
            library.dnnl_primitive_execute.argtypes = (_Pointer, _Pointer, ctypes.c_int, _Pointer)
            return library
    return None


@cache
def _engine_and_stream() -> tuple[_Pointer, _Pointer]:
    engine = _created("engine_create", _CPU, ctypes.c_size_t(0))
    return engine, _created("stream_create", engine, _IN_ORDER)


def _created(what: str, *arguments: Any) -> _Pointer:
    """Call oneDNN's function ``dnnl_{what}`` and return what it made."""
    library, made = _library(), _Pointer()
    assert library is not None
    status = getattr(library, f"dnnl_{what}")(ctypes.byref(made), *arguments)
    if status:
        raise Unsupported(f"oneDNN answered {status} to {what}")
    return made


class Convolution:
    """One convolution, or one of its gradients, prepared for its shapes; `run` computes it on three addresses.

    Args:
        kind: which of the three.
        images: shape of the input, ``[batch, *spatial, in_channels]``.
        kernel: shape of the kernel, ``[*window, in_channels / groups, out_channels]``.
        outputs: shape of the output, ``[batch, *output_size, out_channels]``.
        stride, pads, dilation, groups: as in `strideflax.kernels.convolution.Geometry`.
        data_type: of `DATA_TYPES`.

    Raises:
        Unsupported: no kernel of oneDNN's is written for it.
    """

    def __init__(
        self,
        kind: Kind,
        images: Sequence[int],
        kernel: Sequence[int],
        outputs: Sequence[int],
        stride: Sequence[int],
        pads: Sequence[tuple[int, int]],
        dilation: Sequence[int],
        groups: int,
        *,
        data_type: str,
    ) -> None:
        """Choose oneDNN's kernel, and the layout that it wants the weights in."""
        kind_of_data = DATA_TYPES[data_type]
        source, target = (_channels_last(shape, kind_of_data) for shape in (images, outputs))
        plain, free = _weights(kernel, groups, kind_of_data)
        geometry = [
            _Dimensions(*stride),
            _Dimensions(*(d - 1 for d in dilation)),
            _Dimensions(*(low for low, _ in pads)),
            _Dimensions(*(high for _, high in pads)),
        ]
        engine, self._stream = _engine_and_stream()
        forward = description = _created(
            "convolution_forward_primitive_desc_create",
            engine,
            _TRAINING,
            _DIRECT,
            source,
            free,
            None,
            target,
            *geometry,
            None,
        )
        if kind == "input_gradient":
            description = _created(
                "convolution_backward_data_primitive_desc_create",
                engine, _DIRECT, source, free, target, *geometry, forward, None,
            )  # fmt: skip
        elif kind == "kernel_gradient":
            description = _created(
                "convolution_backward_weights_primitive_desc_create",
                engine, _DIRECT, source, free, None, target, *geometry, forward, None,
            )  # fmt: skip
        if _name(description).startswith(("ref", "gemm")):
            raise Unsupported(f"oneDNN would run {_name(description)}, slower than XLA")

        library = _library()
        assert library is not None
        is_gradient = kind == "kernel_gradient"
        wanted = _Pointer(
            library.dnnl_primitive_desc_query_md(
                description, _QUERY_WEIGHTS_GRADIENT if is_gradient else _QUERY_WEIGHTS, 0
            )
        )
        image_memory, output_memory, kernel_memory = (_memory(shape, None) for shape in (source, target, plain))
        weights, reorder = kernel_memory, []
        if not library.dnnl_memory_desc_equal(wanted, plain):
            weights = _memory(wanted, _ALLOCATE)
            ends = [(plain, kernel_memory), (wanted, weights)]
            (origin, origin_memory), (goal, goal_memory) = reversed(ends) if is_gradient else ends
            change = _created("reorder_primitive_desc_create", origin, engine, goal, engine, None)
            reorder = [_step(change, {_SOURCE: origin_memory, _TARGET: goal_memory})]

        places = {
            "convolution": {_SOURCE: image_memory, _WEIGHTS: weights, _TARGET: output_memory},
            "input_gradient": {_TARGET_GRADIENT: output_memory, _WEIGHTS: weights, _SOURCE_GRADIENT: image_memory},
            "kernel_gradient": {_SOURCE: image_memory, _TARGET_GRADIENT: output_memory, _WEIGHTS_GRADIENT: weights},
        }[kind]
        step = [_step(description, places)]
        self._steps = step + reorder if is_gradient else reorder + step
        self._memories = {
            "convolution": (image_memory, kernel_memory, output_memory),
            "input_gradient": (output_memory, kernel_memory, image_memory),
            "kernel_gradient": (image_memory, output_memory, kernel_memory),
        }[kind]
        self._place, self._execute = library.dnnl_memory_set_data_handle, library.dnnl_primitive_execute

    def run(self, *addresses: int) -> int:
        """Compute from the addresses of both operands into that of the result; return oneDNN's status, 0 if all is well.

        Not for two threads at once.
        """
        status = 0
        for memory, address in zip(self._memories, addresses, strict=True):
            status |= self._place(memory, address)
        for primitive, count, arguments in self._steps:
            status |= self._execute(primitive, self._stream, count, arguments)
        return status


def _step(description: _Pointer, places: dict[int, _Pointer]) -> tuple[_Pointer, int, Any]:
    arguments = (_Argument * len(places))(*(_Argument(place, memory) for place, memory in places.items()))
    return _created("primitive_create", description), len(places), arguments


def _memory(description: _Pointer, address: int | None) -> _Pointer:
    return _created("memory_create", description, _engine_and_stream()[0], _Pointer(address))


def _layout(dimensions: Sequence[int], strides: Sequence[int], data_type: int) -> _Pointer:
    sizes, steps = _Dimensions(*dimensions), _Dimensions(*strides)
    return _created("memory_desc_create_with_strides", len(dimensions), sizes, data_type, steps)


def _channels_last(shape: Sequence[int], data_type: int) -> _Pointer:
    """Describe ``[batch, *spatial, channels]``; oneDNN counts the axes as batch, channels, spatial."""
    batch, *spatial, channels = shape
    strides = _row_major(shape)
    return _layout((batch, channels, *spatial), (strides[0], 1, *strides[1:-1]), data_type)


def _weights(shape: Sequence[int], groups: int, data_type: int) -> tuple[_Pointer, _Pointer]:
    """Describe ``[*window, in / groups, out]`` as it stands, and in whatever layout oneDNN prefers."""
    *window, inputs, outputs = shape
    *strides, input_stride, _ = _row_major(shape)
    dimensions, steps = [outputs // groups, inputs, *window], [1, input_stride, *strides]
    if groups > 1:
        dimensions, steps = [groups, *dimensions], [outputs // groups, *steps]
    sizes = _Dimensions(*dimensions)
    free = _created("memory_desc_create_with_tag", len(dimensions), sizes, data_type, _ANY_LAYOUT)
    return _layout(dimensions, steps, data_type), free


def _row_major(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _name(description: _Pointer) -> str:
    library, name = _library(), ctypes.c_char_p()
    assert library is not None
    library.dnnl_primitive_desc_query(description, _QUERY_NAME, 0, ctypes.byref(name))
    return (name.value or b"").decode()
