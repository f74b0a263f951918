"""Runs of a few seconds as processes of their own, to be disturbed, and what must not depend on the disturbance."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from strideflax.training import restore_run
from strideflax.training.run_folder import read_json

ROOT = Path(__file__).parents[2]
FIELDS = {
    "model.widths": (4,),
    "model.blocks": (1,),
    "model.strides": (2,),
    "model.stem.kernel": 3,
    "data.train_count": 80,
    "data.val_count": 20,
    "data.test_count": 20,
    "batch_size": 20,
    "eval_batch_size": 20,
    "epochs": 12.0,
}
TIMES = ("seconds", "images_per_second", "train_seconds", "compile_seconds")
CONFIG = ["--config", "configs/stride2.py:quick", *(f"--config.{name}={value}" for name, value in FIELDS.items())]
GRID = f"""
from configs.baseline import baseline

def get_config(arg=None):
    config = baseline("quick")
    config.update_from_flattened_dict({FIELDS!r})
    return config

def sweep(arg=None):
    for seed in range(2):
        yield {{"seed": seed}}
"""


@dataclass(frozen=True)
class Machine:
    """How to start commands, with what was compiled once kept for all."""

    compiled: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which commands keep what they compile."""
        return {
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(self.compiled),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }

    def start(self, *words: object, before: Sequence[str] = (), **options: Any) -> subprocess.Popen:
        """Start ``python train.py WORDS``, or ``python -m strideflax WORDS`` if the first word is a command's.

        ``before`` are words of a command that starts it in its turn.
        """
        command = ["train.py", "--config"] if words[0] == "--config" else ["-m", "strideflax", words[0]]
        return subprocess.Popen(
            [*before, sys.executable, *command, *map(str, words[1:])], cwd=ROOT, env=os.environ | self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip

    def train(self, folder: Path, **options: Any) -> subprocess.Popen:
        """Start, or go on with, the small run in ``folder``."""
        return self.start(*CONFIG, "--workdir", folder, **options)

    def sweep(self, out: Path) -> subprocess.Popen:
        """Start, or go on with, the sweep of two small runs in ``out``, in a process group of its own."""
        grid = out.with_suffix(".py")
        grid.write_text(GRID)
        return self.start("sweep", "--config", grid, "--out", out, start_new_session=True)


def finish(process: subprocess.Popen) -> str:
    """Wait for a command that must go well; return what it printed."""
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, output + errors
    assert errors == ""
    return output


@dataclass(frozen=True)
class Reference:
    """The run that nothing disturbed."""

    folder: Path
    seconds: float
    outcome: dict[str, Any]


def undisturbed(machine: Machine, folder: Path) -> Reference:
    """Make the reference."""
    start = time.monotonic()
    finish(machine.train(folder / "run"))
    return Reference(folder / "run", time.monotonic() - start, outcome(folder / "run"))


def outcome(folder: Path) -> dict[str, Any]:
    """Return all that a run leaves but its times: weights and statistics to the bit, metrics line by line, the result."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return {
        "weights": [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(nnx.state(restore_run(folder).model))],
        "metrics": [without_times(json.loads(line)) for line in lines],
        "result": without_times(read_json(folder / "result.json")),
    }


def without_times(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in TIMES}


def assert_whole(folder: Path) -> None:
    """Check that each JSON file below ``folder`` is whole, at whatever moment its writer was killed."""
    for path in [*folder.rglob("config.json"), *folder.rglob("result.json")]:
        read_json(path)
