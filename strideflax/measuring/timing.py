"""Wall-clock times of compiled calls: warmed up, blocked until ready, repeated, with their spread."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from strideflax.programs import Program, compiled

WARMUP = 3
REPEATS = 20


def call_seconds(call: Callable[[], Any], *, repeats: int = REPEATS, warmup: int = WARMUP) -> np.ndarray:
    """Return how long each of ``repeats`` calls took until its result was ready, after ``warmup`` uncounted ones."""
    for _ in range(warmup):
        jax.block_until_ready(call())
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - start)
    return np.array(seconds)


def spread(seconds: np.ndarray) -> dict[str, float]:
    """Return the median and the quartiles of ``seconds`` in milliseconds."""
    low, median, high = np.quantile(seconds, (0.25, 0.5, 0.75)) * 1000
    return {"median_ms": float(median), "low_quartile_ms": float(low), "high_quartile_ms": float(high)}


def compile_call(function: Callable[..., Any], *arguments: Any, **jit_options: Any) -> tuple[Any, float]:
    """Return ``function`` compiled ahead of time for ``arguments``, and the seconds that tracing and compiling took."""
    start = time.perf_counter()
    program = compiled(Program(function, **jit_options).lower(*arguments))
    return program, time.perf_counter() - start


def peak_memory(compiled: Any, device: jax.Device) -> dict[str, Any]:
    """Return the peak memory in bytes and what it is: the device's own count, or else XLA's plan for ``compiled``."""
    statistics = device.memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        return {"bytes": int(statistics["peak_bytes_in_use"]), "source": "device statistics: highest of the process"}
    plan = compiled.memory_analysis()
    if plan is None:
        return {"bytes": None, "source": "neither the device nor XLA says"}
    return {"bytes": planned_bytes(plan), "source": "XLA's memory analysis: arguments + outputs + temporaries - shared"}


def planned_bytes(plan: Any) -> int:
    """Return the peak memory by XLA's plan, what ``memory_analysis()`` of a compiled program returns."""
    return int(
        plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes - plan.alias_size_in_bytes
    )
