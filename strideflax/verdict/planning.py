"""Planning a study: its first steps are timed, and a schedule is made for the time that is left."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

from strideflax.analysis.sequential import FIRST_LOOK
from strideflax.config import ConfigError
from strideflax.errors import UserError
from strideflax.sweep.plan import SweepRun
from strideflax.training.result import FINISHED, TrainingResult, read_result
from strideflax.training.run_folder import is_locked
from strideflax.verdict.clock import Clock, TimeUp
from strideflax.verdict.record import TIMING, write_study
from strideflax.verdict.runner import Runner
from strideflax.verdict.schedule import Schedule, Speed, make_schedule, with_epochs
from strideflax.verdict.study import Study

TIMING_STEPS = 12


def plan_study(study: Study, runner: Runner, clock: Clock, *, keep_epochs: bool) -> tuple[Study, Schedule]:
    """Return ``study`` with the epochs that its time allows, and its schedule; write both into its folder.

    Args:
        study: its ``config`` has the epochs that were asked for.
        runner: what trains the runs.
        clock: the time that there is.
        keep_epochs: whether a run has the epochs that were asked for, whatever the time.

    Raises:
        UserError: an operator can't be trained, or the time is too short.
    """
    config = study.config
    steps_per_epoch = study.images.train_count // config.batch_size
    if steps_per_epoch == 0:
        raise ConfigError(
            f"config.batch_size must be at most the {study.images.train_count} training images, got {config.batch_size}"
        )
    speed = time_first_steps(study, runner, clock, steps_per_epoch)
    schedule = make_schedule(speed, clock.left, steps_per_epoch, config.epochs if keep_epochs else None)
    planned_pairs = max(schedule.pairs, FIRST_LOOK)
    planned = replace(study, config=with_epochs(config, schedule.epochs), planned_pairs=planned_pairs)
    write_study(planned, config, schedule)
    return planned, schedule


def time_first_steps(study: Study, runner: Runner, clock: Clock, steps_per_epoch: int) -> Speed:
    """Train each operator for `TIMING_STEPS` steps, and return how fast they were; the runs are thrown away.

    Raises:
        UserError: an operator can't be trained, or the time is up.
    """
    folder = study.folder / TIMING
    shutil.rmtree(folder, ignore_errors=True)
    short = replace(study, config=with_epochs(study.config, TIMING_STEPS / steps_per_epoch))
    runs = []
    for run in short.runs(study.operators[1:], range(1)):
        runs.append(replace(run, folder=folder / run.folder.name))
    start = time.monotonic()
    at_work = start

    def tick(in_hand: set[Path]) -> None:
        nonlocal at_work
        clock.check()
        if not any(is_locked(run.folder) or read_result(run.folder) for run in runs):
            at_work = time.monotonic()

    try:
        runner.run(runs, tick)
        results = [_result(run) for run in runs]
        return _speed(results, at_work - start, time.monotonic() - at_work, min(runner.workers, len(runs)))
    except TimeUp:
        raise UserError("the time was up while the first steps were timed; give more --minutes") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _result(run: SweepRun) -> TrainingResult:
    result = read_result(run.folder)
    if result is None or result.status != FINISHED:
        raise UserError(f"{run.config.model.downsample} can't be trained: {result.error if result else 'no result'}")
    return result


def _speed(results: list[TrainingResult], start_seconds: float, work_seconds: float, workers: int) -> Speed:
    step_seconds = compile_seconds = train_seconds = 0.0
    for result in results:
        train_seconds += result.train_seconds or 0.0
        compile_seconds += result.compile_seconds or 0.0
        step_seconds += (result.train_seconds or 0.0) / (result.steps or 1)
    return Speed(
        step_seconds=step_seconds,
        start_seconds=start_seconds,
        run_seconds=max(work_seconds * workers - compile_seconds - train_seconds, 0.0),
        compile_seconds=compile_seconds,
        workers=workers,
    )
