"""What a run costs besides its steps: the loop around them, the memory beyond what a step must hold, the start.

The loop is that within an epoch: validation and checkpoints between epochs are not in it.

``python -m strideflax.benchmark.overhead FILE.py[:ARG] [--config.FIELD=VALUE ...]`` is one start: it does the first training
step of the config as ``train.py`` does, says so on its standard output, and ends.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import numpy as np

from strideflax.benchmark.remote import process_environment
from strideflax.compile_cache import keep_compiled
from strideflax.config import Config
from strideflax.config_file import read_config
from strideflax.inspection import inspect_model
from strideflax.measuring.timing import planned_bytes
from strideflax.model import abstract_model
from strideflax.process import keep_memory
from strideflax.programs import compiled
from strideflax.training import train
from strideflax.training.loop import compile_programs, default_steps_per_dispatch
from strideflax.training.setup import TrainingSetup, prepare

STEPS = 100


def loop_seconds(config: Config, *, rounds: int, steps: int = STEPS) -> Iterator[tuple[float, float]]:
    """Yield the seconds of ``steps`` steps in the loop of `train`, and one by one, each awaited; they take turns."""
    epochs = steps / prepare(config).steps_per_epoch
    optimizer = replace(config.optimizer, schedule="constant", warmup_epochs=0.0)  # its own may be longer than that
    config = replace(config, epochs=epochs, optimizer=optimizer)
    setup = prepare(config)
    step, arguments = compile_step(setup)
    for _ in range(rounds):
        with TemporaryDirectory() as folder:
            looped = train(config, Path(folder) / "run").train_seconds
        state = jax.tree.map(jax.numpy.copy, setup.initial)  # a step takes its state's memory
        state = jax.block_until_ready(step(state, *arguments))
        apart = 0.0
        for _ in range(steps):
            start = time.perf_counter()
            state = jax.block_until_ready(step(state, *arguments))
            apart += time.perf_counter() - start
        yield looped or 0.0, apart


def memory_bytes(config: Config) -> tuple[int, int]:
    """Return the peak that XLA plans for a training step, and what it must hold by count.

    Counted are the parameters, statistics and optimizer, the training set and each layer's output for the whole batch.
    Memory that a kernel outside XLA takes, as oneDNN's scratch, is in neither.
    """
    setup = prepare(config)
    step, (train_set, order, *_) = compile_step(setup)
    counted = sum(leaf.nbytes for leaf in jax.tree.leaves((setup.initial, train_set, order)))
    size = setup.dataset.train.images.shape[1:3]
    layers = inspect_model(abstract_model(config.model), size).activation_bytes
    return planned_bytes(step.memory_analysis()), counted + config.batch_size * layers


def start_seconds(spec: str, overrides: Sequence[str] = ()) -> float:
    """Return the seconds from a new process to the end of its first training step.

    Raises:
        subprocess.CalledProcessError: it ended without.
    """
    command = [sys.executable, "-m", "strideflax.benchmark.overhead", spec, *overrides]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=process_environment()) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
        except BaseException:
            process.kill()  # or leaving this context would wait for it
            raise
        seconds = time.perf_counter() - start
    if not said:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seconds


def compile_step(setup: TrainingSetup) -> tuple[Any, tuple[Any, ...]]:
    """Return the compiled step, and its arguments besides the state."""
    train_set = setup.pixels(setup.dataset.train)
    arguments = (train_set, setup.order(0), setup.key, setup.numbers)
    return compiled(setup.lower_steps(1, setup.initial, train_set)), arguments


def main(spec: str, overrides: Sequence[str]) -> None:
    """Do one step, and say so."""
    keep_memory()
    keep_compiled()
    setup = prepare(read_config(spec, overrides))
    train_set = setup.pixels(setup.dataset.train)
    most = min(default_steps_per_dispatch(), setup.steps_per_epoch)
    programs = compile_programs(setup, {1, most}, setup.initial, train_set)
    state = jax.block_until_ready(programs[1](setup.initial, train_set, setup.order(0), setup.key, setup.numbers))
    sys.stdout.write(f"{np.asarray(state.step)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
