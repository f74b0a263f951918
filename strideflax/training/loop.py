"""The training loop: from the newest checkpoint to the last step, epoch by epoch."""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from strideflax.programs import Program, compiled, is_deterministic
from strideflax.tasks import Evaluation
from strideflax.training.checkpoint import Checkpoints
from strideflax.training.monitoring import Progress, Writer
from strideflax.training.run_folder import append_metrics, check_same_images, forget_metrics_after
from strideflax.training.setup import TrainingSetup
from strideflax.training.sharing import NumberedStep
from strideflax.training.step import Pixels, TrainState

_zeroed = Program(lambda total: total * 0)  # compiled, as 0 would be sent to the device each time
STEPS_BETWEEN_CHECKS = 50  # how often the loop looks whether the loss is finite, which waits for the device
# stride2 in bfloat16, batch 128, on one H100: 148,600 images/s by 20 steps per dispatch, 111,700 (in float32) by one.
ACCELERATOR_STEPS = 20


def default_steps_per_dispatch() -> int:
    """Return how many steps one call of this process's device does unless it is told."""
    return 1 if jax.default_backend() == "cpu" else ACCELERATOR_STEPS


class Interrupted(Exception):
    """The run was asked to stop. What it had done is saved; the same call goes on from there."""


class Diverged(Exception):
    """A loss was not finite."""

    def __init__(self, which: str, step: int):
        super().__init__(
            f"the {which} loss is not finite at step {step} (looked at every {STEPS_BETWEEN_CHECKS} steps); try a smaller "
            "optimizer.learning_rate, a longer optimizer.warmup_epochs, or optimizer.clip_norm=1"
        )
        self.step = step


@dataclass(kw_only=True)
class TrainingLoop:
    """One call's work on a run.

    ``compile_seconds`` and ``train_seconds`` are those spent so far, over all the calls that the run took, and
    ``deterministic`` is said of all of them.
    """

    setup: TrainingSetup
    folder: Path
    progress: Progress
    writers: Sequence[Writer]
    should_stop: Callable[[], bool]
    checkpoints: Checkpoints
    steps_per_dispatch: int
    compile_seconds: float = 0.0
    train_seconds: float = 0.0
    deterministic: bool | None = field(default_factory=is_deterministic)

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes."""
        return jax.process_index() == 0

    def resume(self) -> TrainState:
        """Return the newest sound checkpoint's state, or the initial one; metrics after it are dropped."""
        setup, state, step = self.setup, self.setup.initial, 0
        restored = self.checkpoints.restore(state, drop_damaged=True)
        for line in restored.damaged:
            self.progress.note(line)
        if restored.step is not None:
            state, step = restored.state, restored.step
            before, now = restored.meta["dataset_fingerprint"], setup.dataset.fingerprint
            check_same_images(self.folder, setup.config, before, now)
            self.compile_seconds = restored.meta["clock"]["compile_seconds"]
            self.train_seconds = restored.meta["clock"]["train_seconds"]
            if restored.meta.get("deterministic") is False:
                self.deterministic = False
            self.progress.note(f"resumed at step {step} of {setup.total_steps}: {self.folder}")
        if self.writes:
            forget_metrics_after(self.folder, step)
        return state

    def train(self, state: TrainState) -> TrainState:
        """Train to the end, epoch by epoch.

        Raises:
            Diverged: a loss was not finite.
            Interrupted: the run was asked to stop.
        """
        setup, total = self.setup, self.setup.total_steps
        train = setup.pixels(setup.dataset.train)
        programs = self._compile(state, train)
        step = int(jax.device_get(state.step))
        while step < total:
            first_step, epoch = step, step // setup.steps_per_epoch
            last_step = min((epoch + 1) * setup.steps_per_epoch, total)
            start = time.perf_counter()
            try:
                state, stop = self._train_steps(state, train, programs, last_step)
            finally:
                seconds = time.perf_counter() - start
                self.train_seconds += seconds
            step = int(jax.device_get(state.step))
            if step == last_step:
                stop = stop or self._any_host_should_stop()
                record = self._record(state, epoch, step - first_step, seconds)
                validation = self.evaluate(state, "validation", step)
                record["val_loss"] = validation.loss if validation else None
                record["val_accuracy"] = validation.accuracy if validation else None
                if validation and validation.mean_iou is not None:
                    record["val_mean_iou"] = validation.mean_iou
                state = state._replace(loss_sum=_zeroed(state.loss_sum), correct_sum=_zeroed(state.correct_sum))
                self._log(record)
            if step == total:
                params, stats = state.evaluated  # what the run leaves, and what its last checkpoint holds
                state = state._replace(params=params, stats=stats)
            is_due = step == last_step and (epoch + 1) % setup.config.checkpoint_epochs == 0
            if is_due or stop or step == total:
                self._save(state)
            if stop and step < total:
                raise Interrupted(f"stopped at step {step} of {total}; the same command goes on from there")
        return state

    def _train_steps(
        self, state: TrainState, train: Pixels, programs: dict[int, NumberedStep], last_step: int
    ) -> tuple[TrainState, bool]:
        """Do steps up to ``last_step``, the end of an epoch; return the state, and whether the run was asked to stop."""
        setup, step, stop = self.setup, int(jax.device_get(state.step)), False
        order = setup.order(step // setup.steps_per_epoch)
        while step < last_step and not stop:
            count = self.steps_per_dispatch if step + self.steps_per_dispatch <= last_step else 1
            state = programs[count](state, train, order, setup.key, setup.numbers)
            step += count
            self.progress.step(step, setup.total_steps)
            stop = jax.process_count() == 1 and self.should_stop()
            passed_a_check = step % STEPS_BETWEEN_CHECKS < count
            if stop or step == last_step or passed_a_check:
                _check_finite(float(jax.device_get(state.loss_sum)), "training", step)  # waits for the device
        return jax.block_until_ready(state), stop

    def _any_host_should_stop(self) -> bool:
        """Return whether another host was asked to stop: all must leave at the same step, so they agree after each epoch."""
        if jax.process_count() == 1:
            return False
        return bool(multihost_utils.process_allgather(np.array(self.should_stop())).any())

    def _compile(self, state: TrainState, train: Pixels) -> dict[int, NumberedStep]:
        """Return the programs of one step and of several, by their steps."""
        start = time.perf_counter()
        programs = compile_programs(self.setup, {1, self.steps_per_dispatch}, state, train)
        self.compile_seconds += time.perf_counter() - start
        return programs

    def evaluate(self, state: TrainState, which: str, step: int) -> Evaluation | None:
        """Evaluate every validation or test image; None without images."""
        dataset = self.setup.dataset
        found = self.setup.evaluate(state, dataset.test if which == "test" else dataset.val)
        if found is not None:
            _check_finite(found.loss, which, step)
        return found

    def _record(self, state: TrainState, epoch: int, steps: int, seconds: float) -> dict[str, Any]:
        """Return an epoch's numbers; ``steps`` is how many this call did, ``seconds`` how long they took."""
        step, loss_sum, correct_sum = jax.device_get((state.step, state.loss_sum, state.correct_sum))
        step, batch_size = int(step), self.setup.config.batch_size
        steps_in_epoch = step - epoch * self.setup.steps_per_epoch
        with jax.transfer_guard("allow"):  # Optax computes with Python's numbers
            learning_rate = float(self.setup.schedule(step))
        return {
            "epoch": epoch + 1,
            "step": step,
            "train_loss": float(loss_sum) / steps_in_epoch,
            "train_accuracy": float(correct_sum) / (steps_in_epoch * batch_size),
            "learning_rate": learning_rate,
            "images_per_second": steps * batch_size / seconds,
            "seconds": seconds,
        }

    def _log(self, record: dict[str, Any]) -> None:
        if self.writes:
            append_metrics(self.folder, record)
        scalars = {name: value for name, value in record.items() if isinstance(value, float)}
        for writer in self.writers:
            writer.write(record["step"], scalars)
        self.progress.epoch(record)

    def _save(self, state: TrainState) -> None:
        clock = {"compile_seconds": self.compile_seconds, "train_seconds": self.train_seconds}
        meta: dict[str, Any] = {"clock": clock, "dataset_fingerprint": self.setup.dataset.fingerprint}
        if self.deterministic is not None:
            meta["deterministic"] = self.deterministic
        self.checkpoints.save(int(jax.device_get(state.step)), state, meta)


def compile_programs(
    setup: TrainingSetup, counts: set[int], state: TrainState, train: Pixels
) -> dict[int, NumberedStep]:
    """Return a program for each of these numbers of steps; one that another run has compiled is there.

    XLA compiles without Python's lock, so all take the time of one.
    """
    programs, lowered = setup.programs.train_steps, {}
    for count in sorted(counts - set(programs)):
        lowered[count] = setup.lower_steps(count, state, train)
    if len(lowered) == 1:
        programs.update({count: compiled(program) for count, program in lowered.items()})
    else:
        with ThreadPoolExecutor() as threads:
            programs.update(zip(lowered, threads.map(compiled, lowered.values()), strict=True))
    return programs


def _check_finite(loss: float, which: str, step: int) -> None:
    if not math.isfinite(loss):
        raise Diverged(which, step)
