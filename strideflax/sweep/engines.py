"""Where the runs of a sweep are placed: processes of this machine, a Ray cluster, or Slurm."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from strideflax.errors import UserError
from strideflax.files import cache_folder
from strideflax.sweep.pool import WorkerDied, WorkerSlot, shares
from strideflax.sweep.time_limit import TimeLimit
from strideflax.sweep.worker import train_folder, write_failure
from strideflax.wording import counted

TICK_SECONDS = 0.5
ATTEMPTS = 3  # a run whose worker died is started again; one that raises is not, it is written down as failed

Tick = Callable[[set[Path]], None]
Engine = Callable[[Sequence[Path], Tick], None]


def local(
    folders: Sequence[Path],
    tick: Tick,
    *,
    workers: int = 1,
    config_file: str | None = None,
    limit: TimeLimit | None = None,
) -> None:
    """Train each folder's run in processes of this machine, each with an accelerator of its own or a share of the cores.

    A worker that dies (killed, out of memory) is replaced, and its run goes on from its last checkpoint; no other run
    notices. A run whose workers died `ATTEMPTS` times is written down as failed.

    Args:
        folders: run folders with a ``config.json``.
        tick: called about twice a second, with the folders that workers have in hand.
        workers: number of processes.
        config_file: the sweep's, which each worker runs first: it may define an operator of its own.
        limit: the time for all of it. What it does not suffice for is left, saved as far as it has come.

    Raises:
        UserError: worker processes can't start.
        OSError: the disk is full or read-only.
    """
    waiting, limit = deque(folders), limit or TimeLimit()
    deaths: Counter[Path] = Counter()
    slots = [WorkerSlot(share, config_file) for share in shares(min(workers, len(folders)))]
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


def ray(
    folders: Sequence[Path],
    tick: Tick,
    *,
    address: str | None = None,
    gpus: float = 0,
    cpus: float = 1,
    config_file: str | None = None,
    limit: TimeLimit | None = None,
) -> None:
    """Train each folder's run as a task of a Ray cluster that sees the same file system.

    A task whose worker or node dies is retried by Ray and goes on from the run's last checkpoint.

    Args:
        folders: run folders with a ``config.json``.
        tick: called about twice a second.
        address: of the cluster; None starts one on this machine.
        gpus, cpus: what each run takes.
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
            train_folder
        )
        left = {task.remote(str(folder.absolute()), config_file, limit.stop_at): folder for folder in folders}
        while left and not limit.is_over:
            finished, _ = engine.wait(list(left), timeout=TICK_SECONDS)
            tick(set())
            for reference in finished:
                folder = left.pop(reference)
                try:
                    engine.get(reference)
                except deaths as error:
                    write_failure(folder, f"its worker died {1 + ATTEMPTS} times: {error}")
    finally:
        engine.shutdown()


def slurm(
    folders: Sequence[Path],
    tick: Tick,
    *,
    partition: str | None = None,
    gpus: int = 0,
    cluster: str | None = None,
    config_file: str | None = None,
    limit: TimeLimit | None = None,
) -> None:
    """Train each folder's run as a job of a Slurm array, through submitit; jobs that are preempted are requeued.

    submitit keeps pickles of its jobs in the user's cache folder, which has to be on a file system that all nodes see.

    Args:
        folders: run folders with a ``config.json``.
        tick: called about twice a second.
        partition: Slurm's; None is its default.
        gpus: per job.
        cluster: submitit's; ``"local"`` runs the jobs as processes of this machine.
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
    limit, names = limit or TimeLimit(), [str(folder.absolute()) for folder in folders]
    jobs = executor.map_array(train_folder, names, [config_file] * len(names), [limit.stop_at] * len(names))
    while not all(job.done() for job in jobs):
        tick(set())
        time.sleep(TICK_SECONDS)
        if limit.is_over:
            for job in jobs:
                job.cancel()
            return
    for folder, job in zip(folders, jobs, strict=True):
        if error := job.exception():
            write_failure(folder, f"its job {job.job_id} failed: {error}")
