"""oneDNN's convolutions as lists of calls to its C interface (version 3), so that nothing has to be compiled.

oneDNN is the library that PyTorch and TensorFlow compute convolutions with on x86 CPUs. It comes as the package
`onednn-cpu-gomp`. Source: the oneDNN developer guide, https://uxlfoundation.github.io/oneDNN.
"""

import ctypes
import importlib.metadata
import math
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Literal

from strideflax.kernels.foreign_call import LEFT, RESULT, RIGHT, Address, CallList, Failed, Function, Machine, Slot
from strideflax.window import Window

PACKAGE = "onednn-cpu-gomp"
DATA_TYPES = {"float32": 3, "bfloat16": 2}

Kind = Literal["convolution", "input_gradient", "kernel_gradient"]

# Values of the enumerations in dnnl_types.h and dnnl_common_types.h.
_CPU, _IN_ORDER, _ANY_LAYOUT, _TRAINING, _DIRECT, _USER_SCRATCHPAD = 1, 1, 1, 64, 1, 1
_QUERY_NAME, _QUERY_WEIGHTS, _QUERY_WEIGHTS_GRADIENT, _QUERY_SCRATCHPAD = 8, 131, 132, 136
_SOURCE, _TARGET, _WEIGHTS, _SCRATCHPAD = 1, 17, 33, 80
_SOURCE_GRADIENT, _TARGET_GRADIENT, _WEIGHTS_GRADIENT = 129, 145, 161
_ALLOCATE = -1

# Parts of names like "brg_fwd:avx2+brgconv_1x1:avx2": the kernels of oneDNN 3.2 that the tests compare with NumPy. What is not
# here crashes ("x64:gemm", with windows of 15 and more), is wrong (bfloat16 without instructions for it), is slow ("ref"), or
# was never tried.
KERNELS = (
    "brgconv", "brgconv_1x1", "brgconv_strided", "brg_fwd", "brdgmm_dw",
    "jit", "jit_1x1", "jit_dw", "jit_bf16", "jit_bf16_1x1",
)  # fmt: skip
INSTRUCTION_SETS = {"float32": ("sse41", "avx", "avx2", "avx512_core"), "bfloat16": ("avx512_core_bf16",)}
_LARGEST_INSTRUCTION_SET = 0xE7  # avx512_core_bf16

_FUNCTIONS = (
    "engine_create", "engine_destroy", "stream_create", "stream_destroy",
    "memory_desc_create_with_strides", "memory_desc_create_with_tag", "memory_desc_destroy", "memory_desc_equal",
    "memory_create", "memory_destroy",
    "primitive_attr_create", "primitive_attr_destroy", "primitive_attr_set_scratchpad_mode",
    "convolution_forward_primitive_desc_create", "convolution_backward_data_primitive_desc_create",
    "convolution_backward_weights_primitive_desc_create", "reorder_primitive_desc_create",
    "primitive_desc_query", "primitive_desc_query_md", "primitive_desc_destroy",
    "primitive_create", "primitive_execute", "primitive_destroy",
)  # fmt: skip
_OTHER_KERNEL = "oneDNN takes another kernel here than where this program was compiled: compile it here"

_WAITING = {"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "1000"}  # how often a waiting thread looks: about 0.01 ms
_one_loads = threading.Lock()  # XLA takes each name once


class Unsupported(Exception):
    """oneDNN has no kernel for this convolution that is known to be sound and fast."""


class _Version(ctypes.Structure):
    _fields_ = (("major", ctypes.c_int), ("minor", ctypes.c_int), ("patch", ctypes.c_int))


def version() -> str | None:
    """Return the version of oneDNN that runs here, or None where it is not installed or can't be loaded."""
    if machine() is None:
        return None
    library = _library()
    assert library is not None
    library.dnnl_version.restype = ctypes.POINTER(_Version)
    found = library.dnnl_version().contents
    return f"{found.major}.{found.minor}.{found.patch}"


def machine() -> Machine | None:
    """Return what carries out oneDNN's calls, or None where it can't be had."""
    with _one_loads:
        return _machine()


@cache
def _library() -> ctypes.CDLL | None:
    try:
        files = importlib.metadata.files(PACKAGE) or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == "libdnnl.so.3":
            try:
                with _waiting_awake():
                    library = ctypes.CDLL(str(file.locate()))
            except OSError:  # built for another processor, or without its OpenMP runtime
                return None
            if "ONEDNN_MAX_CPU_ISA" not in os.environ:
                library.dnnl_set_max_cpu_isa(_LARGEST_INSTRUCTION_SET)
            return library
    return None


@contextmanager
def _waiting_awake() -> Iterator[None]:
    """Let the threads of a library that is loaded here look out for work for a while before they sleep, unless told otherwise.

    To wake a thread takes as long as a small convolution. One that never sleeps would take its core from XLA's threads.
    OpenMP reads the variables when it is loaded; child processes, in which PyTorch might run, are not to inherit them.
    """
    if any(name in os.environ for name in _WAITING):
        yield
        return
    os.environ.update(_WAITING)
    try:
        yield
    finally:
        for name in _WAITING:
            os.environ.pop(name, None)


@cache
def _machine() -> Machine | None:
    library = _library()
    if library is None:
        return None
    functions = {}
    for name in _FUNCTIONS:
        functions[name] = Function(_address(library, f"dnnl_{name}"), f"oneDNN's dnnl_{name} failed")
    c = ctypes.CDLL(None)
    for name in ("strcmp", "memcmp"):
        functions[name] = Function(_address(c, name), _OTHER_KERNEL)
    functions["memcpy"] = Function(_address(c, "memcpy"), "")
    try:
        return Machine("strideflax.kernels.native.load()", functions)
    except (ImportError, OSError, RuntimeError):
        return None


def _address(library: ctypes.CDLL, name: str) -> int:
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0


def calls(
    kind: Kind,
    images: Sequence[int],
    kernel: Sequence[int],
    outputs: Sequence[int],
    window: Window,
    groups: int,
    *,
    data_type: str,
) -> CallList:
    """Return the calls that compute one convolution, or one of its gradients, for `machine` to carry out.

    Args:
        kind: which of the three.
        images: shape of the input, ``[batch, *spatial, in_channels]``.
        kernel: shape of the kernel, ``[*window, in_channels / groups, out_channels]``.
        outputs: shape of the output, ``[batch, *output_size, out_channels]``.
        window, groups: of the convolution.
        data_type: of `DATA_TYPES`.

    Raises:
        Unsupported: no kernel of oneDNN's is written for it, or none of `KERNELS`.
    """
    listed = _Calls(data_type)
    source, target = listed.channels_last(images), listed.channels_last(outputs)
    plain, free = listed.weights(kernel, groups)
    geometry = (
        listed.numbers(*window.stride),
        listed.numbers(*(d - 1 for d in window.dilation)),
        listed.numbers(*(low for low, _ in window.pads)),
        listed.numbers(*(high for _, high in window.pads)),
    )
    description = listed.described(kind, source, free, target, geometry)
    wanted = listed.queried(description, _QUERY_WEIGHTS_GRADIENT if kind == "kernel_gradient" else _QUERY_WEIGHTS)
    is_plain = listed.chosen(description, wanted, plain)

    image_memory, output_memory, kernel_memory = {
        "convolution": (LEFT, RESULT, RIGHT),
        "input_gradient": (RESULT, LEFT, RIGHT),
        "kernel_gradient": (LEFT, RIGHT, RESULT),
    }[kind]
    image_memory, output_memory = listed.memory(source, image_memory), listed.memory(target, output_memory)
    kernel_memory = listed.memory(plain, kernel_memory)
    weights = kernel_memory if is_plain else listed.memory(wanted, _ALLOCATE)
    if not is_plain and kind != "kernel_gradient":
        listed.reorder(plain, kernel_memory, wanted, weights)
    if kind == "convolution":
        places = {_SOURCE: image_memory, _WEIGHTS: weights, _TARGET: output_memory}
    elif kind == "input_gradient":
        places = {_TARGET_GRADIENT: output_memory, _WEIGHTS: weights, _SOURCE_GRADIENT: image_memory}
    else:
        places = {_SOURCE: image_memory, _TARGET_GRADIENT: output_memory, _WEIGHTS_GRADIENT: weights}
    listed.execute(description, places)
    if not is_plain and kind == "kernel_gradient":
        listed.reorder(wanted, weights, plain, kernel_memory)
    return listed


def is_known(name: str, data_type: str) -> bool:
    """Whether the tests know all parts of a kernel's name."""
    for part in name.split("+"):
        kernel, _, instruction_set = part.partition(":")
        if kernel not in KERNELS or instruction_set not in INSTRUCTION_SETS[data_type]:
            return False
    return True


class _Calls(CallList):
    """oneDNN's calls for a convolution, or one of its gradients, as they are written down."""

    def __init__(self, data_type: str) -> None:
        super().__init__()
        self._data_type = data_type
        self._engine = self._made("engine", "engine_create", _CPU, 0)
        self._attributes = self._made("primitive_attr", "primitive_attr_create")
        # oneDNN's own scratch memory is one for each primitive, which two threads can't share.
        self.call("prepare", "primitive_attr_set_scratchpad_mode", self._attributes, _USER_SCRATCHPAD)
        self._stream = self._lent("stream", "stream_create", self._engine, _IN_ORDER)

    def channels_last(self, shape: Sequence[int]) -> Slot:
        """Describe ``[batch, *spatial, channels]``; oneDNN counts the axes as batch, channels, spatial."""
        batch, *spatial, channels = shape
        strides = _row_major(shape)
        return self._layout((batch, channels, *spatial), (strides[0], 1, *strides[1:-1]))

    def weights(self, shape: Sequence[int], groups: int) -> tuple[Slot, Slot]:
        """Describe ``[*window, in / groups, out]`` as it stands, and in whatever layout oneDNN prefers."""
        *window, inputs, outputs = shape
        *window_steps, input_step, _ = _row_major(shape)
        dimensions, steps = [outputs // groups, inputs, *window], [1, input_step, *window_steps]
        if groups > 1:
            dimensions, steps = [groups, *dimensions], [outputs // groups, *steps]
        sizes = self.numbers(*dimensions)
        create = "memory_desc_create_with_tag"
        free = self._made("memory_desc", create, len(dimensions), sizes, DATA_TYPES[self._data_type], _ANY_LAYOUT)
        return self._layout(dimensions, steps), free

    def _layout(self, dimensions: Sequence[int], strides: Sequence[int]) -> Slot:
        sizes, steps = self.numbers(*dimensions), self.numbers(*strides)
        create = "memory_desc_create_with_strides"
        return self._made("memory_desc", create, len(dimensions), sizes, DATA_TYPES[self._data_type], steps)

    def described(self, kind: Kind, source: Slot, weights: Slot, target: Slot, geometry: Sequence[Address]) -> Slot:
        """Let oneDNN choose a kernel; return its description."""
        kernel, no_bias = "convolution_{}_primitive_desc_create", 0
        forward = self._made(
            "primitive_desc", kernel.format("forward"), self._engine, _TRAINING, _DIRECT,
            source, weights, no_bias, target, *geometry, self._attributes,
        )  # fmt: skip
        if kind == "input_gradient":
            return self._made(
                "primitive_desc", kernel.format("backward_data"), self._engine, _DIRECT,
                source, weights, target, *geometry, forward, self._attributes,
            )  # fmt: skip
        if kind == "kernel_gradient":
            return self._made(
                "primitive_desc", kernel.format("backward_weights"), self._engine, _DIRECT,
                source, weights, no_bias, target, *geometry, forward, self._attributes,
            )  # fmt: skip
        return forward

    def queried(self, description: Slot, what: int) -> Slot:
        """Return a layout that is a part of a kernel's description."""
        layout = self.slot()
        self.call("prepare", "primitive_desc_query_md", description, what, 0, answer=layout)
        return layout

    def chosen(self, description: Slot, wanted: Slot, plain: Slot) -> bool:
        """Return whether oneDNN's kernel takes weights as they stand; later, only that kernel will do.

        Raises:
            Unsupported: it has none, or none that is sound and fast.
        """
        name, is_plain = self.slot(), self.slot()
        self.call("prepare", "primitive_desc_query", description, _QUERY_NAME, 0, Address(name))
        self.call("prepare", "memory_desc_equal", wanted, plain, answer=is_plain)
        carrier = machine()
        assert carrier is not None
        try:
            with carrier.prepared(self) as content:
                found, answer = ctypes.string_at(content(name)), content(is_plain) & 0xFF
        except Failed as failure:
            raise Unsupported(str(failure)) from None
        if not is_known(found.decode(), self._data_type):
            raise Unsupported(f"oneDNN would run {found.decode()}")
        self.call("prepare", "strcmp", name, self.text(found))
        self.call("prepare", "memcmp", Address(is_plain), self.numbers(answer), 1)
        return bool(answer)

    def memory(self, layout: Slot, address: int | Slot) -> Slot:
        """Return memory for each run, at an address or newly allocated."""
        return self._lent("memory", "memory_create", layout, self._engine, address)

    def reorder(self, source_layout: Slot, source: Slot, target_layout: Slot, target: Slot) -> None:
        """Copy from one layout to another in each run."""
        description = self._made(
            "primitive_desc", "reorder_primitive_desc_create",
            source_layout, self._engine, target_layout, self._engine, self._attributes,
        )  # fmt: skip
        self.execute(description, {_SOURCE: source, _TARGET: target})

    def execute(self, description: Slot, memories: dict[int, Slot]) -> None:
        """Carry out a kernel in each run. ``memories`` says which memory is which of its arguments."""
        primitive = self._made("primitive", "primitive_create", description)
        scratch = self.memory(self.queried(description, _QUERY_SCRATCHPAD), _ALLOCATE)
        arguments, is_copied = [], self.slot()
        for place, memory in {**memories, _SCRATCHPAD: scratch}.items():
            argument = self.numbers(place, 0)
            self.call("run", "memcpy", Address(Slot(argument.slot.number + 1)), Address(memory), 8, answer=is_copied)
            arguments.append(argument)
        self.call("run", "primitive_execute", primitive, self._stream, len(arguments), arguments[0])

    def _made(self, what: str, function: str, *arguments: int | Slot | Address) -> Slot:
        """Return what ``function`` makes, once for each program."""
        made = self.slot()
        self.call("prepare", function, Address(made), *arguments)
        self.call("release", f"{what}_destroy", made)
        return made

    def _lent(self, what: str, function: str, *arguments: int | Slot | Address) -> Slot:
        """Return what ``function`` makes for each run."""
        made = self.slot()
        self.call("run", function, Address(made), *arguments)
        self.call("clean_up", f"{what}_destroy", made)
        return made


def _row_major(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
