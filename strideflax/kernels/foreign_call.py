"""Lists of C calls that XLA's programs on a CPU carry out by themselves, without Python.

Python writes down which C functions are called with what, and XLA's program calls them in that order. Nothing of it enters
the interpreter: a program can be interrupted, run on many threads, and outlive the script. The list is part of the program.
It holds no address of this process, and what it prepares is freed with the program.

`foreign_call.ll` carries the lists out. It is written in LLVM's language, from which llvmlite makes machine code in some
milliseconds, so that installing needs no compiler. That file and this one are all that know the structures of
xla/ffi/api/c_api.h (version 0.3), whose layout XLA keeps.
"""

import ctypes
import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import jax
import numpy as np
from jax import Array

Part = Literal["prepare", "run", "clean_up", "release"]

_HEADER = 6  # words before the slots
_MOST_ARGUMENTS = 13
_NUMBER, _CONTENT, _ADDRESS = range(3)


class Failed(Exception):
    """A call answered that it could not do its work."""


@dataclass(frozen=True)
class Slot:
    """A word that the calls of a list share. As an argument it stands for what it holds by then."""

    number: int


@dataclass(frozen=True)
class Address:
    """The address of a slot; the slots made after it follow it."""

    slot: Slot


@dataclass(frozen=True)
class Function:
    """A C function of integers and pointers: its address, and what to say when it answers anything but 0."""

    address: int
    complaint: str


@dataclass(frozen=True)
class _Call:
    function: str
    arguments: tuple[int | Slot | Address, ...]
    answer: Slot | None


LEFT, RIGHT, RESULT = Slot(0), Slot(1), Slot(2)  # hold the addresses of both operands and of the result


class CallList:
    """C calls in four parts.

    "prepare" is carried out once for each program, "run" each time that it runs, "clean_up" after that, and "release" in the
    end; "clean_up" and "release" go backwards, from their last call to their first. A run has its own copy of the slots as
    "prepare" left them. A call that fails ends "prepare" and "run"; "clean_up" and "release" are carried out all the same, and
    meet slots that still hold 0.
    """

    def __init__(self) -> None:
        self._slots = [0, 0, 0]
        self._calls: dict[Part, list[_Call]] = {"prepare": [], "run": [], "clean_up": [], "release": []}

    def numbers(self, *values: int) -> Address:
        """Return the address of new slots that hold ``values``."""
        first = len(self._slots)
        self._slots.extend(values)
        return Address(Slot(first))

    def slot(self) -> Slot:
        """Return a new slot that holds 0."""
        return self.numbers(0).slot

    def text(self, text: bytes) -> Address:
        """Return the address of ``text``, ended by a zero."""
        whole_words = text + bytes(8 - len(text) % 8)
        return self.numbers(*np.frombuffer(whole_words, np.int64).tolist())

    def call(self, part: Part, function: str, *arguments: int | Slot | Address, answer: Slot | None = None) -> None:
        """Add a call to the end of ``part``.

        Its answer goes to the slot ``answer``; without one the answer is a C int, and the call failed unless it is 0.
        """
        assert len(arguments) <= _MOST_ARGUMENTS
        self._calls[part].append(_Call(function, arguments, answer))

    def words(self, functions: Sequence[str]) -> np.ndarray:
        """Return the list as `foreign_call.ll` reads it, with functions numbered as in ``functions``."""
        parts = []
        for part, calls in self._calls.items():
            backwards = part in ("clean_up", "release")
            parts.append(_encoded(calls[::-1] if backwards else calls, functions))
        starts = [_HEADER + len(self._slots)]
        for words in parts:
            starts.append(starts[-1] + len(words))
        return np.array([len(self._slots), *starts, *self._slots, *itertools.chain(*parts)], np.int64)


def _encoded(calls: Sequence[_Call], functions: Sequence[str]) -> list[int]:
    words = []
    for call in calls:
        words += [
            functions.index(call.function),
            -1 if call.answer is None else call.answer.number,
            len(call.arguments),
        ]
        for argument in call.arguments:
            if isinstance(argument, Slot):
                words += [_CONTENT, argument.number]
            elif isinstance(argument, Address):
                words += [_ADDRESS, argument.slot.number]
            else:
                words += [_NUMBER, argument]
    return words


class Machine:
    """What carries lists out, with the functions that they may call. It stays for as long as the process lives.

    Raises:
        ImportError, OSError, RuntimeError: there is none for this platform.
    """

    def __init__(self, name: str, functions: Mapping[str, Function]) -> None:
        """Make ``functions`` known to XLA under ``name``, which XLA's error holds where that has not been done."""
        self._names = list(functions)
        self._complaints = [ctypes.create_string_buffer(function.complaint.encode()) for function in functions.values()]
        source = resources.files(__package__).joinpath("foreign_call.ll").read_text()
        # A program that another version of this package compiled must not find its functions under other numbers.
        identity = hashlib.sha256("\n".join([source, *self._names]).encode()).hexdigest()
        self._target = f"{name}, version {identity[:12]}"
        tables = _table("functions", [function.address for function in functions.values()])
        tables += _table("complaints", [ctypes.addressof(complaint) for complaint in self._complaints])
        code = _machine_code(source + tables, "carry_out", "handle", "state_type", "state_information")
        prototype = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        self._carry_out = prototype(code["carry_out"])
        capsules = {name: jax.ffi.pycapsule(address) for name, address in code.items()}
        state: Any = {"type_id": capsules["state_type"], "type_info": capsules["state_information"]}
        jax.ffi.register_ffi_type(self._target, state, platform="cpu")
        handler = capsules["handle"]
        jax.ffi.register_ffi_target(self._target, {"instantiate": handler, "execute": handler}, platform="cpu")

    def function_of(self, calls: CallList, result: jax.ShapeDtypeStruct) -> Callable[[Array, Array], Array]:
        """Return a function of two arrays, to be traced, whose result is what ``calls`` leave at the address in `RESULT`."""
        words = calls.words(self._names)

        def call(a: Array, b: Array) -> Array:
            return jax.ffi.ffi_call(self._target, result)(a, b, calls=words)

        return call

    @contextmanager
    def prepared(self, calls: CallList) -> Iterator[Callable[[Slot], int]]:
        """Carry out "prepare" here and now, give a function that reads slots, and in the end carry out "release".

        Raises:
            Failed: a call failed.
        """
        words = calls.words(self._names)
        slots = words[_HEADER:]
        try:
            failure = self._carry_out(words.ctypes.data, slots.ctypes.data, 1)
            if failure:
                complaint = self._complaints[failure & 0xFFFFFFFF].value.decode()
                raise Failed(f"{complaint} (it says {failure >> 32})")
            yield lambda slot: int(slots[slot.number])
        finally:
            self._carry_out(words.ctypes.data, slots.ctypes.data, 4)


def _table(name: str, addresses: Sequence[int]) -> str:
    entries = ", ".join(f"i64 {address}" for address in addresses)
    return f"@{name} = private constant [{len(addresses)} x i64] [{entries}]\n"


def _machine_code(source: str, *names: str) -> dict[str, int]:
    """Make machine code of LLVM's language; return the addresses of ``names`` in it."""
    from llvmlite import binding as llvm  # 0.1 s

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(source), machine)
    engine.finalize_object()
    addresses = {name: engine.get_global_value_address(name) for name in names}
    engine.detach()  # the code stays: XLA's threads may be in it until the process is gone
    return addresses
