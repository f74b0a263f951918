"""A run from configuration to result: prepare, claim the folder, train, evaluate, write down."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from strideflax.config import Config
from strideflax.environment import versions
from strideflax.errors import UserError
from strideflax.tasks import TASKS, ClassCounts, Evaluation
from strideflax.training.checkpoint import Checkpoints
from strideflax.training.loop import STEPS_BETWEEN_CHECKS, Diverged, TrainingLoop, default_steps_per_dispatch
from strideflax.training.monitoring import Progress, Silent, Writer
from strideflax.training.result import DIVERGED, FINISHED, TrainingResult, read_result, write_result
from strideflax.training.run_folder import (
    check_folder,
    check_same_images,
    claim_folder,
    lock_folder,
    read_metrics,
    read_run_config,
)
from strideflax.training.setup import prepare
from strideflax.training.sharing import SharedWork


def train(
    config: Config,
    folder: Path,
    *,
    progress: Progress | None = None,
    make_writers: Callable[[Path], Sequence[Writer]] = lambda folder: (),
    should_stop: Callable[[], bool] = lambda: False,
    steps_per_dispatch: int | None = None,
    config_file: str | None = None,
    shared: SharedWork | None = None,
) -> TrainingResult:
    """Train as ``config`` says in ``folder``, or go on where an earlier call was interrupted; return the result.

    Args:
        config: what to run.
        folder: the run folder; created if missing, resumed if it holds an unfinished run of the same configuration.
        progress: told what happens.
        make_writers: called with the folder, returns further writers of metrics.
        should_stop: asked after each dispatch; True saves a checkpoint and raises `Interrupted`.
        steps_per_dispatch: training steps per call of the device, 1 to 50 and no more than an epoch has; None is 1 on a CPU
            and 20 elsewhere, as a device that is done with a step before Python has sent the next one gains. On one CPU device
            nothing else changes, not a bit; several steps are another program, which other devices may round in another way.
        config_file: where ``config`` came from; noted in the folder, as the file may define an operator of its own.
        shared: what earlier runs of this process have loaded and compiled; what this one adds, later ones find.

    Returns:
        The content of ``result.json``.

    Raises:
        UserError: the run can't start; the folder is as it was.
        OSError: a full disk or a read-only folder; what was saved before is as it was.
        Interrupted: ``should_stop`` said so.
    """
    if steps_per_dispatch is None:
        steps_per_dispatch = default_steps_per_dispatch()
    if not (isinstance(steps_per_dispatch, int) and 1 <= steps_per_dispatch <= STEPS_BETWEEN_CHECKS):
        raise UserError(
            f"steps_per_dispatch must be an int from 1 to {STEPS_BETWEEN_CHECKS}, got {steps_per_dispatch!r}"
        )
    progress, shared = progress or Silent(), shared or SharedWork()
    check_folder(folder, config)  # before images are loaded
    if (result := read_result(folder)) is not None:
        return _already_ended(folder, config, result, progress, shared)
    setup = prepare(config, progress.images, shared)
    progress.plan(setup.plan)
    writes = jax.process_index() == 0  # several hosts share a run, and one of them writes
    if writes:
        claim_folder(folder, config, config_file)
    with lock_folder(folder) if writes else contextlib.nullcontext():
        if (result := read_result(folder)) is not None:  # another process was quicker
            return _already_ended(folder, config, result, progress, shared)
        with Checkpoints(folder / "checkpoints") as checkpoints:
            loop = TrainingLoop(
                setup=setup,
                folder=folder,
                progress=progress,
                writers=make_writers(folder) if writes else (),
                should_stop=should_stop,
                checkpoints=checkpoints,
                steps_per_dispatch=min(steps_per_dispatch, setup.steps_per_epoch),
            )
            return _finish(loop)


def _already_ended(
    folder: Path, config: Config, result: TrainingResult, progress: Progress, shared: SharedWork
) -> TrainingResult:
    """Return the result that is there, if it is of the images that are asked for."""
    before = read_run_config(folder)
    may_differ = config.data.is_own or config.data.dir != before.data.dir
    if may_differ and result.dataset:
        now = shared.images(config.data, progress.images).dataset
        check_same_images(folder, config, result.dataset["fingerprint"], now.fingerprint)
    progress.note(f"already {result.status}: {folder}")
    return result


def _finish(loop: TrainingLoop) -> TrainingResult:
    """Train to the end, read the test set once with the final weights, and write ``result.json``, last."""
    error, test = None, None
    try:
        state = loop.train(loop.resume())
        step = int(jax.device_get(state.step))
        test = loop.evaluate(state, "test", step)
    except Diverged as diverged:
        error, step = str(diverged), diverged.step
    finally:
        for writer in loop.writers:
            writer.close()
    result = _result(loop, step, error, test)
    for warning in result.warnings or ():
        loop.progress.note(f"warning: {warning}")
    if loop.writes:
        write_result(loop.folder, result)
    return result


def _as_lists(by_class: ClassCounts) -> dict[str, list[int]]:
    return {name: counts.tolist() for name, counts in by_class._asdict().items()}


def _result(loop: TrainingLoop, step: int, error: str | None, test: Evaluation | None) -> TrainingResult:
    config, plan = loop.setup.config, loop.setup.plan
    records = read_metrics(loop.folder)
    last = records[-1] if records and error is None else {}
    return TrainingResult(
        status=FINISHED if error is None else DIVERGED,
        error=error,
        warnings=TASKS[config.task].suspicions(test) if test else None,
        test_loss=test.loss if test else None,
        test_accuracy=test.accuracy if test else None,
        test_balanced_accuracy=test.balanced_accuracy if test else None,
        test_by_class=_as_lists(test.by_class) if test and test.by_class else None,
        test_mean_iou=test.mean_iou if test else None,
        val_mean_iou=last.get("val_mean_iou"),
        val_accuracy=last.get("val_accuracy"),
        val_loss=last.get("val_loss"),
        train_loss=last.get("train_loss"),
        seed=plan.seed,
        config_fingerprint=plan.config_fingerprint,
        dataset=plan.dataset,
        params=plan.params,
        macs=plan.macs,
        epochs=plan.epochs,
        device=plan.device,
        deterministic=loop.deterministic,
        steps=step,
        steps_per_dispatch=loop.steps_per_dispatch,
        images_per_second=step * config.batch_size / loop.train_seconds,
        compile_seconds=loop.compile_seconds,
        train_seconds=loop.train_seconds,
        versions=versions(),
        config=config.to_dict(),
    )
