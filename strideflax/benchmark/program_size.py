"""How many kernels a compiled program starts and how many bytes they read and write, counted in its text, not measured.

On a GPU each kernel has to be launched, and each reads its operands from memory and writes its result there. In a small net
that is the time of a step, rather than its arithmetic.
"""

import re
from dataclasses import dataclass
from typing import Any

BITS = {"pred": 8, "bf16": 16, "s4": 4, "u4": 4}  # of the types whose name does not end with them
# What XLA does without a kernel: names for memory, and control flow, whose kernels are counted where they are.
NO_KERNEL = (
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "while", "conditional", "partition-id",
    "optimization-barrier", "copy-done", "async-done", "all-reduce-done",
)  # fmt: skip
COMMAND_BUFFER = "command_buffer"  # a CUDA graph, which stands in a program's text as a call

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%([\w.\-]+) = (.+)$")
_OPCODE = re.compile(r"\s([a-z][\w\-]*)\(")
_ARRAY = re.compile(r"([a-z]\w*)\[([\d,]*)\]")
_OPERAND = re.compile(r"%([\w.\-]+)")
_PARTS = re.compile(r"(?:body|condition|branch_computations|true_computation|false_computation|to_apply)=\{?([^}\s]+)")


@dataclass(frozen=True)
class ProgramSize:
    """What one run of a program takes; of a loop's body and of each branch, one pass.

    Attributes:
        kernels: fusions, convolutions, products, reductions, copies, calls of libraries.
        bytes: of the operands and results of all kernels. A kernel that reads a part of an operand counts all of it.
        branches: where the host waits for the device's answer before it sends more.
        all_reduces: sums over devices.
    """

    kernels: int
    bytes: int
    branches: int
    all_reduces: int


def program_size(text: str) -> ProgramSize:
    """Return the size of the program with this text, as `as_text` of what `jax.jit(f).lower(...).compile()` returns."""
    computations = _computations(text)
    waiting, seen = [next(name for name, (is_entry, _) in computations.items() if is_entry)], set()
    kernels = moved = branches = all_reduces = 0
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        sizes: dict[str, int] = {}
        for result, shape, opcode, operands, line in computations[name][1]:
            sizes[result] = _bytes(shape)
            inner = [part.strip("%, ") for found in _PARTS.findall(line) for part in found.split(",")]
            is_graph = opcode == "call" and COMMAND_BUFFER in line
            if opcode in ("while", "conditional") or is_graph:
                waiting += [part for part in inner if part in computations]
            branches += opcode == "conditional"
            all_reduces += opcode in ("all-reduce", "all-reduce-start")
            if opcode in NO_KERNEL or is_graph:
                continue
            kernels += 1
            moved += sizes[result] + sum(sizes.get(operand, 0) for operand in operands)
    return ProgramSize(kernels, moved, branches, all_reduces)


def size_of(compiled: Any) -> ProgramSize:
    """Return the size of a compiled program."""
    return program_size(compiled.as_text())


def _computations(text: str) -> dict[str, tuple[bool, list[tuple[str, str, str, list[str], str]]]]:
    """Return each computation's instructions: name, shape, opcode, names of operands, the whole line."""
    found: dict[str, tuple[bool, list[tuple[str, str, str, list[str], str]]]] = {}
    current: list[tuple[str, str, str, list[str], str]] = []
    for line in text.splitlines():
        if (start := _COMPUTATION.match(line)) and line.rstrip().endswith("{"):
            current = []
            found[start[2]] = (bool(start[1]), current)
        elif (instruction := _INSTRUCTION.match(line)) and (opcode := _OPCODE.search(" " + instruction[2])):
            shape = instruction[2][: opcode.start()]
            rest = instruction[2][opcode.end() - 1 :]
            operands = _OPERAND.findall(rest[: rest.find(")")])
            current.append((instruction[1], shape, opcode[1], operands, line))
    return found


def _bytes(shape: str) -> int:
    """Return the bytes of an array, or of all arrays of a tuple."""
    total = 0
    for kind, sizes in _ARRAY.findall(shape):
        digits = re.search(r"\d+", kind)
        bits = BITS.get(kind) or (int(digits[0]) if digits else 0)
        count = 1
        for size in filter(None, sizes.split(",")):
            count *= int(size)
        total += count * bits // 8
    return total
