"""Who takes part: strideflax as it is, its plain formulation, and PyTorch in several ways."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from strideflax.process import FAST_NONDETERMINISTIC


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to compute the workloads, in a process of its own.

    Attributes:
        framework: "jax" or "torch".
        description: one line.
        environment: variables of its process.
        compile_mode: of `torch.compile`; None is eager.
        channels_last: layout of PyTorch's tensors in memory.
    """

    framework: str
    description: str
    environment: dict[str, str] = field(default_factory=dict)
    compile_mode: str | None = None
    channels_last: bool = False


# On an accelerator JAX takes most of its memory for itself; several contenders wait on it at a time.
SHARED_MEMORY = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}

CUDA_GRAPHS = "reduce-overhead"  # what torch.compile calls them

CONTENDERS = {
    "auto": Contender(
        framework="jax",
        description="strideflax as it is",
        environment={"STRIDEFLAX_IMPLEMENTATION": "auto", **SHARED_MEMORY},
    ),
    "fast": Contender(
        framework="jax",
        description="strideflax, on a GPU without equal bits",
        environment={"STRIDEFLAX_IMPLEMENTATION": "auto", FAST_NONDETERMINISTIC: "1", **SHARED_MEMORY},
    ),
    "lax": Contender(
        framework="jax",
        description="strideflax in XLA's plain formulation, with XLA's gradients",
        environment={"STRIDEFLAX_IMPLEMENTATION": "lax", **SHARED_MEMORY},
    ),
    "torch": Contender(framework="torch", description="PyTorch eager, contiguous"),
    "torch_last": Contender(framework="torch", description="PyTorch eager, channels last", channels_last=True),
    "torch_compile": Contender(
        framework="torch", description="torch.compile, channels last", compile_mode="default", channels_last=True
    ),
    "torch_graphs": Contender(
        framework="torch",
        description="torch.compile with CUDA graphs, channels last",
        compile_mode=CUDA_GRAPHS,
        channels_last=True,
    ),
}
REFERENCE = "auto"  # strideflax itself, which the others are compared with
RIVALS = {"lax": ("lax",), "torch": ("lax", "torch", "torch_last", "torch_compile", "torch_graphs")}


@dataclass(frozen=True)
class Prepared:
    """A workload made ready by a contender.

    Attributes:
        call: does the work once and returns when it is done.
        facts: what it computed, for comparison with the others: equal work has equal facts.
        compile_seconds: tracing and compiling; None where nothing is compiled ahead.
    """

    call: Callable[[], object]
    facts: dict[str, Any]
    compile_seconds: float | None = None
