"""JAX's own checks, on for every test, and the CPU, on which exact values hold."""

import importlib.util
import os
import signal
from collections.abc import Iterator
from pathlib import Path

os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and the console below would keep that width for good
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # oneDNN's: a core for each of pytest's two workers and their children
import jax
import numpy as np
import pytest
from made_runs import write_study

import strideflax.commands.console  # noqa: F401

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_legacy_prng_key", "error")
jax.config.update("jax_debug_key_reuse", True)

# A shell ignores Ctrl-C for what it starts in the background, and nohup a closed terminal; the commands that tests start and
# stop must not inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# PyTorch is a rival in the benchmark, and what a run is exported to, but no dependency.
NEEDED = {
    "benchmark/test_torch_workloads.py": ("torch",),
    "export/test_torch_net.py": ("torch",),
    "export/test_onnx.py": ("torch", "onnxscript", "onnxruntime"),
}
left_out = {path: [name for name in names if not importlib.util.find_spec(name)] for path, names in NEEDED.items()}
collect_ignore = [path for path, missing in left_out.items() if missing]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for path in collect_ignore:
        terminalreporter.write_line(f"left out, as not installed ({', '.join(left_out[path])}): tests/{path}")


@pytest.fixture
def float64() -> Iterator[None]:
    """Let JAX compute in float64, so that a comparison with NumPy leaves no room for a small mistake."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of made-up runs, as a sweep leaves them."""
    return write_study(tmp_path_factory.mktemp("study") / "ablation")
