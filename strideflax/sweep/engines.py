"""Where the runs of a sweep are placed: processes of this machine, a Ray cluster, or Slurm."""

import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import chain
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import jax

from strideflax.config import Config
from strideflax.errors import UserError
from strideflax.files import cache_folder
from strideflax.sweep.pool import WorkerDied, WorkerSlot
from strideflax.sweep.time_limit import TimeLimit
from strideflax.sweep.worker import train_group, write_failure
from strideflax.sweep.worker_process import Assignment, Share
from strideflax.training.result import read_result
from strideflax.training.run_folder import is_locked, read_run_config
from strideflax.training.sharing import without_arguments
from strideflax.wording import counted

TICK_SECONDS = 0.5
GROUP = 4  # runs that a task of Ray or a job of Slurm takes, by default
ATTEMPTS = 3  # a run whose worker died is started again; one that raises is not, it is written down as failed

Tick = Callable[[set[Path]], None]
Engine = Callable[[Sequence[Path], Tick], None]


def local(
    folders: Sequence[Path],
    tick: Tick,
    *,
    workers: int = 1,
    started: Sequence[WorkerSlot] = (),
    config_file: str | None = None,
    limit: TimeLimit | None = None,
) -> None:
    """Train each folder's run in processes of this machine, each with an accelerator of its own or a share of the cores.

    Runs of one process share its images and programs, see `strideflax.training.sharing`. A worker that dies (killed, out of
    memory) is replaced, and its run goes on from its last checkpoint; no other run notices. A run whose workers died `ATTEMPTS`
    times is written down as failed.

    Args:
        folders: run folders with a ``config.json``.
        tick: called about twice a second, with the folders that workers have in hand.
        workers: number of processes.
        started: those of them that were started before; any that is not needed ends.
        config_file: the sweep's, which each worker runs first: it may define an operator of its own.
        limit: the time for all of it. What it does not suffice for is left, saved as far as it has come.

    Raises:
        UserError: worker processes can't start.
        OSError: the disk is full or read-only.
    """
    waiting, limit = deque(folders), limit or TimeLimit()
    deaths: Counter[Path] = Counter()
    slots = _slots(min(workers, len(folders)), started, config_file)
    try:
        while not limit.is_stopping and (waiting or any(slot.folder for slot in slots)):
            for slot in slots:
                if slot.folder is None and waiting:
                    slot.give(waiting.popleft())
            busy = [slot for slot in slots if slot.folder is not None]
            tick({slot.folder for slot in busy if slot.folder is not None})
            wait([slot.waits_on for slot in busy], timeout=TICK_SECONDS)
            for slot in busy:
                _take_answer(slot, waiting, deaths, workers)
        for slot in slots:
            if slot.folder is not None:
                slot.stop()
    except BaseException:
        for slot in slots:
            slot.stop()
        raise
    finally:
        for slot in slots:
            slot.close(by=limit.end)


def _slots(workers: int, started: Sequence[WorkerSlot], config_file: str | None) -> list[WorkerSlot]:
    """Return ``workers`` slots, each assigned its share of this machine, and close those of ``started`` that are not needed."""
    slots = list(started)
    for slot in slots[workers:]:
        slot.close()
    del slots[workers:]
    while len(slots) < workers:
        slots.append(WorkerSlot())
    for slot, share in zip(slots, shares(workers), strict=True):
        slot.assign(Assignment(share, config_file))
    return slots


def _take_answer(slot: WorkerSlot, waiting: deque[Path], deaths: Counter[Path], workers: int) -> None:
    """Free a slot whose run has ended; a run whose worker died goes to the head of those that wait."""
    folder = slot.folder
    assert folder is not None
    try:
        answer = slot.answer()
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            slot.folder = None
    except WorkerDied as death:
        slot.folder = None
        deaths[folder] += 1
        if deaths[folder] < ATTEMPTS:
            waiting.appendleft(folder)
        else:
            memory = f"is the memory enough for {counted(workers, 'worker')}?"
            write_failure(folder, f"its worker {death}, {ATTEMPTS} times in all; {memory}")


def shares(workers: int) -> list[Share]:
    """Return one share of this machine for each worker: an accelerator in turn, or an equal part of the cores."""
    if jax.default_backend() == "gpu":
        return [Share(accelerator=str(index % jax.device_count())) for index in range(workers)]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    found = []
    for index in range(workers):
        own = cores[index % len(cores) :: workers] or [cores[index % len(cores)]]
        found.append(Share(cores=tuple(own)))
    return found


def groups(folders: Sequence[Path], size: int) -> list[list[Path]]:
    """Return the folders in groups of at most ``size``; runs that share their programs stand together."""
    alike: dict[Config, list[Path]] = {}
    for folder in folders:
        alike.setdefault(without_arguments(read_run_config(folder)), []).append(folder)
    ordered = list(chain.from_iterable(alike.values()))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _after_failure(group: list[Path], why: str) -> list[Path]:
    """Write down that the run at which a group's process died has failed, and return those behind it."""
    left = [folder for folder in group if read_result(folder) is None and not is_locked(folder)]  # or another has it
    if left:
        write_failure(left[0], why)
    return left[1:]


def ray(
    folders: Sequence[Path],
    tick: Tick,
    *,
    address: str | None = None,
    gpus: float = 0,
    cpus: float = 1,
    group: int = GROUP,
    config_file: str | None = None,
    limit: TimeLimit | None = None,
) -> None:
    """Train groups of runs as tasks of a Ray cluster that sees the same file system.

    A task whose worker or node dies is retried by Ray and goes on from the last checkpoint of its run. The run at which it died
    once more than `ATTEMPTS` times is written down as failed, and the rest of its group is a new task.

    Args:
        folders: run folders with a ``config.json``.
        tick: called about twice a second.
        address: of the cluster; None starts one on this machine.
        gpus, cpus: what each task takes.
        group: runs of a task, see `groups`.
        config_file: the sweep's, as for `local`.
        limit: as for `local`; waiting for a node counts.
    """
    try:
        import ray as engine
    except ImportError:
        raise UserError('--engine ray needs Ray: pip install "strideflax[ray]"') from None
    engine.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    limit = limit or TimeLimit()
    deaths = (engine.exceptions.WorkerCrashedError, engine.exceptions.NodeDiedError, engine.exceptions.OutOfMemoryError)
    try:
        task: Any = engine.remote(num_gpus=gpus, num_cpus=cpus, max_retries=ATTEMPTS, retry_exceptions=False)(
            train_group
        )

        def begin(members: list[Path]) -> Any:
            return task.remote([str(folder.absolute()) for folder in members], config_file, limit.stop_at)

        left = {begin(members): members for members in groups(folders, group)}
        while left and not limit.is_over:
            finished, _ = engine.wait(list(left), timeout=TICK_SECONDS)
            tick(set())
            for reference in finished:
                members = left.pop(reference)
                try:
                    engine.get(reference)
                except deaths as error:
                    if rest := _after_failure(members, f"its worker died {1 + ATTEMPTS} times: {error}"):
                        left[begin(rest)] = rest
    finally:
        engine.shutdown()


def slurm(
    folders: Sequence[Path],
    tick: Tick,
    *,
    partition: str | None = None,
    gpus: int = 0,
    cluster: str | None = None,
    group: int = GROUP,
    config_file: str | None = None,
    limit: TimeLimit | None = None,
) -> None:
    """Train groups of runs as jobs of a Slurm array, through submitit; jobs that are preempted are requeued.

    submitit keeps pickles of its jobs in the user's cache folder, which has to be on a file system that all nodes see. The run
    at which a job failed is written down as failed, and the rest of its group is a new job.

    Args:
        folders: run folders with a ``config.json``.
        tick: called about twice a second.
        partition: Slurm's; None is its default.
        gpus: per job.
        cluster: submitit's; ``"local"`` runs the jobs as processes of this machine.
        group: runs of a job, see `groups`.
        config_file: the sweep's, as for `local`.
        limit: as for `local`; waiting for a node counts.
    """
    try:
        import submitit
    except ImportError:
        raise UserError('--engine slurm needs submitit: pip install "strideflax[slurm]"') from None
    executor = submitit.AutoExecutor(folder=cache_folder().absolute() / "slurm", cluster=cluster)
    executor.update_parameters(name="strideflax", timeout_min=24 * 60, gpus_per_node=gpus, cpus_per_task=4)
    if partition:
        executor.update_parameters(slurm_partition=partition)
    limit, left = limit or TimeLimit(), groups(folders, group)
    while left:
        names = [[str(folder.absolute()) for folder in members] for members in left]
        jobs = executor.map_array(train_group, names, [config_file] * len(left), [limit.stop_at] * len(left))
        while not all(job.done() for job in jobs):
            tick(set())
            time.sleep(TICK_SECONDS)
            if limit.is_over:
                for job in jobs:
                    job.cancel()
                return
        rests = []
        for members, job in zip(left, jobs, strict=True):
            if error := job.exception():
                rests.append(_after_failure(members, f"its job {job.job_id} failed: {error}"))
        left = [rest for rest in rests if rest]
