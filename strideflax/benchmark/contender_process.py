"""A contender's process, which reads one JSON request per line and answers each.

It is started as ``python -m strideflax.benchmark.contender_process NAME CORES``, and told when to measure, so that no two
contenders work at a time.

* ``{"do": "describe"}``: device and versions.
* ``{"do": "prepare", "workload": {...}, "weights": PATH}``: ``facts`` and ``compile_seconds``.
* ``{"do": "measure", "calls": N, "seconds": S}``: at least N calls and at least S seconds of the prepared workload;
  ``median_ms``, quartiles, ``calls``.
"""

import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import numpy as np

from strideflax.benchmark.contenders import CONTENDERS, Contender, Prepared
from strideflax.benchmark.workloads import from_job
from strideflax.errors import one_line
from strideflax.measuring.timing import spread

MOST_CALLS = 1000


def main(name: str, cores: int) -> None:
    """Answer requests from standard input until it ends, on that many cores (0: all); a failure is an answer too."""
    if cores and hasattr(os, "sched_setaffinity"):  # before a framework starts its threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    contender = CONTENDERS[name]
    serve(contender, _framework_module(contender), sys.stdin, answers)


def serve(contender: Contender, framework: ModuleType, requests: TextIO, answers: TextIO) -> None:
    """Answer each line of ``requests`` with one line of ``answers``."""
    prepared: Prepared | None = None
    for line in requests:
        request = json.loads(line)
        answer: dict[str, Any]
        try:
            if request["do"] == "describe":
                answer = framework.describe(contender)
            elif request["do"] == "prepare":
                prepared = None  # frees the one before
                prepared = framework.prepare(from_job(request["workload"]), contender, Path(request["weights"]))
                answer = {"facts": prepared.facts, "compile_seconds": prepared.compile_seconds}
            else:
                assert prepared is not None
                answer = measure(prepared, calls=request["calls"], seconds=request["seconds"])
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {one_line(error)[:500]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def measure(prepared: Prepared, *, calls: int, seconds: float) -> dict[str, Any]:
    """Call at least ``calls`` times and for ``seconds``; one call before is not counted, as the caches were another's."""
    prepared.call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < calls or (time.perf_counter() < end and len(times) < MOST_CALLS):
        start = time.perf_counter()
        prepared.call()
        times.append(time.perf_counter() - start)
    return {**spread(np.array(times)), "calls": len(times)}


def _framework_module(contender: Contender) -> ModuleType:
    """Import the one framework that this process is to hold."""
    if contender.framework == "torch":
        from strideflax.benchmark import torch_workloads

        return torch_workloads
    from strideflax.process import keep_memory

    keep_memory()  # as strideflax's own programs do
    from strideflax.benchmark import jax_workloads

    return jax_workloads


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
