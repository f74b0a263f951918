"""A run from configuration to result: prepare, resume, train, evaluate, write down."""

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from strideflax.config import Config
from strideflax.data import load_dataset
from strideflax.errors import UserError
from strideflax.training.checkpoint import Checkpoints
from strideflax.training.environment import versions
from strideflax.training.progress import Progress, Silent
from strideflax.training.run_folder import (
    RunFolderError,
    append_metrics,
    check_folder,
    claim_folder,
    held,
    keep_metrics,
    read_json,
    read_metrics,
    read_result,
    write_json,
)
from strideflax.training.step import Pixels, TrainState, TrainStep
from strideflax.training.trainer import Trainer, prepare
from strideflax.training.writers import Writer

CHECKED_STEPS = 50  # how often the loop looks whether the loss is finite, which waits for the device


class Interrupted(Exception):
    """The run was asked to stop. What it had done is saved; the same call goes on from there."""


@dataclass
class Clock:
    """Seconds spent so far, over all the calls that a run took."""

    compile_seconds: float = 0.0
    train_seconds: float = 0.0


@dataclass(frozen=True)
class Run:
    """One call's hold on a run folder."""

    trainer: Trainer
    folder: Path
    progress: Progress
    writers: Sequence[Writer]
    should_stop: Callable[[], bool]
    checkpoints: Checkpoints
    steps_per_dispatch: int
    clock: Clock = field(default_factory=Clock)

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes (several hosts share a run)."""
        return jax.process_index() == 0

    def resume(self) -> TrainState:
        """Return the newest sound checkpoint's state, or the initial one; metrics after it are dropped."""
        state = self.trainer.initial
        restored, meta, damaged = self.checkpoints.restore(state, drop_damaged=True)
        for line in damaged:
            self.progress.note(line)
        if restored is not None:
            state = restored
            _check_images(self.folder, meta["dataset_fingerprint"], self.trainer.dataset.fingerprint)
            self.clock.__dict__.update(meta["clock"])
            self.progress.note(f"resumed at step {int(state.step)} of {self.trainer.total_steps}: {self.folder}")
        if self.writes:
            keep_metrics(self.folder, int(state.step))
        return state

    def save(self, state: TrainState) -> None:
        """Save a checkpoint."""
        fingerprint = self.trainer.dataset.fingerprint
        self.checkpoints.save(int(state.step), state, {"clock": vars(self.clock), "dataset_fingerprint": fingerprint})

    def epochs(self, state: TrainState) -> tuple[TrainState, str | None]:
        """Train to the end; return the final state, and what went wrong if a loss was not finite."""
        trainer, total = self.trainer, self.trainer.total_steps
        train, val = trainer.pixels(trainer.dataset.train), trainer.pixels(trainer.dataset.val)
        programs = self._compile(state, train)
        done = int(state.step)
        while done < total:
            epoch = done // trainer.steps_per_epoch
            order = trainer.order(epoch)
            first, last = done, min((epoch + 1) * trainer.steps_per_epoch, total)
            start, stop, sound = time.perf_counter(), False, True
            while done < last and sound and not stop:
                steps = self.steps_per_dispatch if done + self.steps_per_dispatch <= last else 1
                state = programs[steps](state, train, order, trainer.key)
                looked, done = done // CHECKED_STEPS, done + steps
                self.progress.step(done, total)
                stop = jax.process_count() == 1 and self.should_stop()
                if stop or done == last or done // CHECKED_STEPS > looked:
                    sound = math.isfinite(float(state.loss_sum))  # waits for the device
            seconds = _since(start, state)
            self.clock.train_seconds += seconds
            if not sound:
                return state, _diverged("training", done)
            if done == last:
                stop = stop or (jax.process_count() > 1 and self._asked_to_stop())
                record = self._record(state, epoch, last - first, seconds) | trainer.evaluate_as("val", state, val)
                if not math.isfinite(record["val_loss"] or 0.0):
                    return state, _diverged("validation", done)
                state = state._replace(loss_sum=state.loss_sum * 0, correct_sum=state.correct_sum * 0)
                self._log(record)
            due = done == last and (epoch + 1) % trainer.config.checkpoint_epochs == 0
            if due or stop or done == total:
                self.save(state)
            if stop and done < total:
                raise Interrupted(f"stopped at step {done} of {total}; the same command goes on from there")
        return state, None

    def _asked_to_stop(self) -> bool:
        """Return whether any host was asked to stop: all must leave at the same step, so they agree after each epoch."""
        return bool(multihost_utils.process_allgather(np.array(self.should_stop())).any())

    def _compile(self, state: TrainState, train: Pixels) -> dict[int, TrainStep]:
        """Return the programs of one step and of several, by their steps."""
        start = time.perf_counter()
        programs = {count: self.trainer.compile_steps(count, state, train) for count in {1, self.steps_per_dispatch}}
        self.clock.compile_seconds += time.perf_counter() - start
        return programs

    def _record(self, state: TrainState, epoch: int, steps: int, seconds: float) -> dict[str, Any]:
        """Return an epoch's numbers; ``steps`` is how many this call did, ``seconds`` how long they took."""
        step, batch = int(state.step), self.trainer.config.batch_size
        in_epoch = step - epoch * self.trainer.steps_per_epoch
        return {
            "epoch": epoch + 1,
            "step": step,
            "train_loss": float(state.loss_sum) / in_epoch,
            "train_accuracy": float(state.correct_sum) / (in_epoch * batch),
            "learning_rate": float(self.trainer.schedule(step)),
            "images_per_second": steps * batch / seconds,
            "seconds": seconds,
        }

    def _log(self, record: dict[str, Any]) -> None:
        if self.writes:
            append_metrics(self.folder, record)
        for writer in self.writers:
            writer.write(record["step"], {name: v for name, v in record.items() if isinstance(v, float)})
        self.progress.epoch(record)


def _diverged(which: str, step: int) -> str:
    return (
        f"the {which} loss is not finite at step {step} (looked at every {CHECKED_STEPS} steps); try a smaller "
        "optimizer.learning_rate, a longer optimizer.warmup_epochs, or optimizer.clip_norm=1"
    )


def _check_images(folder: Path, before: str, now: str) -> None:
    if now != before:
        raise RunFolderError(
            f"{folder} was begun on images with fingerprint {before}, those found now have {now}; give it the same "
            "images, or another --workdir"
        )


def _since(start: float, state: TrainState) -> float:
    jax.block_until_ready(state)
    return time.perf_counter() - start


def train(
    config: Config,
    folder: Path,
    *,
    progress: Progress | None = None,
    make_writers: Callable[[Path], Sequence[Writer]] = lambda folder: (),
    should_stop: Callable[[], bool] = lambda: False,
    steps_per_dispatch: int = 1,
) -> dict[str, Any]:
    """Train as ``config`` says in ``folder``, or go on where an earlier call was interrupted; return the result.

    Args:
        config: what to run.
        folder: the run folder; created if missing, resumed if it holds an unfinished run of the same configuration.
        progress: told what happens.
        make_writers: called with the folder, returns further writers of metrics.
        should_stop: asked after each dispatch; True saves a checkpoint and raises `Interrupted`.
        steps_per_dispatch: training steps that a call of the device does, 1 to 50 and no more than an epoch has. An
            accelerator that is done with a step before Python has sent the next one gains. On one CPU device nothing else
            changes, not a bit; several steps are another program, which other devices may round in another way.

    Returns:
        The content of ``result.json``.

    Raises:
        UserError: the run can't start; the folder is as it was.
        OSError: a full disk or a read-only folder; what was saved before is as it was.
        Interrupted: ``should_stop`` said so.
    """
    if not (isinstance(steps_per_dispatch, int) and 1 <= steps_per_dispatch <= CHECKED_STEPS):
        raise UserError(f"steps_per_dispatch must be an int from 1 to {CHECKED_STEPS}, got {steps_per_dispatch!r}")
    progress = progress or Silent()
    check_folder(folder, config)  # before images are loaded
    if (result := read_result(folder)) is not None:
        return _ended(folder, config, result, progress)
    trainer = prepare(config)
    progress.plan(trainer.plan)
    writes = jax.process_index() == 0
    if writes:
        claim_folder(folder, config)
    with held(folder) if writes else contextlib.nullcontext():
        if (result := read_result(folder)) is not None:  # another process was quicker
            return _ended(folder, config, result, progress)
        with Checkpoints(folder / "checkpoints") as checkpoints:
            writers = make_writers(folder) if writes else ()
            steps = min(steps_per_dispatch, trainer.steps_per_epoch)
            return _finish(Run(trainer, folder, progress, writers, should_stop, checkpoints, steps))


def _ended(folder: Path, config: Config, result: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Return the result that is there, if it is of the images that are asked for."""
    before = read_json(folder / "config.json")["data"]["dir"]
    if config.data.dir != before and (dataset := result.get("dataset")):
        _check_images(folder, dataset["fingerprint"], load_dataset(config.data).fingerprint)
    progress.note(f"already {result['status']}: {folder}")
    return result


def _finish(run: Run) -> dict[str, Any]:
    """Train to the end, read the test set once with the final weights, and write ``result.json``, last."""
    try:
        state, error = run.epochs(run.resume())
    finally:
        for writer in run.writers:
            writer.close()
    trainer, config = run.trainer, run.trainer.config
    test = trainer.evaluate_as("test", state, trainer.pixels(trainer.dataset.test) if error is None else None)
    if not math.isfinite(test["test_loss"] or 0.0):
        error, test = _diverged("test", int(state.step)), trainer.evaluate_as("test", state, None)
    sound = error is None
    records = read_metrics(run.folder)
    last = records[-1] if records else {}
    plan = trainer.plan
    result = {
        "status": "finished" if sound else "diverged",
        **({} if sound else {"error": error}),
        **test,
        **{name: last.get(name) if sound else None for name in ("val_accuracy", "val_loss", "train_loss")},
        **{
            name: plan[name] for name in ("seed", "config_fingerprint", "dataset", "params", "macs", "epochs", "device")
        },
        "steps": int(state.step),
        "steps_per_dispatch": run.steps_per_dispatch,
        "images_per_second": int(state.step) * config.batch_size / run.clock.train_seconds,
        **vars(run.clock),
        "versions": versions(),
        "config": config.to_dict(),
    }
    if run.writes:
        write_json(run.folder / "result.json", result)
    return result
