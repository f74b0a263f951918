"""Where the runs of a sweep are placed: processes of this machine, a Ray cluster, or Slurm."""

import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import jax

from strideflax.errors import UserError
from strideflax.sweep.worker import start_worker, train_folder

TICK_SECONDS = 0.5
ATTEMPTS = 3  # a run whose worker died is placed again; one that raises is not, it is written down as failed

Tick = Callable[[], None]
Engine = Callable[[Sequence[Path], Tick], None]


def local(folders: Sequence[Path], tick: Tick, *, workers: int = 1) -> None:
    """Train each folder's run in a pool of processes, each with an accelerator of its own or a share of the cores.

    If a worker dies (killed, out of memory), the pool is made anew and what had not finished is placed again.

    Args:
        folders: run folders with a ``config.json``.
        tick: called about twice a second.
        workers: number of processes.

    Raises:
        UserError: a run's worker died `ATTEMPTS` times.
    """
    left = {folder: 0 for folder in folders}
    while left:
        with _pool(min(workers, len(left))) as pool:
            futures = {pool.submit(train_folder, str(folder)): folder for folder in left}
            try:
                for done in _as_done(futures, tick):
                    left.pop(futures[done])
            except BrokenProcessPool:
                for future, folder in futures.items():
                    if folder in left and (folder / "metrics.jsonl").exists() and not _ended(future):
                        left[folder] += 1
            except BaseException:
                for worker in multiprocessing.active_children():
                    worker.terminate()  # it ends its step, and saves
                pool.shutdown(cancel_futures=True)
                raise
        if hopeless := [folder for folder, deaths in left.items() if deaths >= ATTEMPTS]:
            raise UserError(
                f"the worker of {hopeless[0]} died {ATTEMPTS} times; is the memory enough for {workers} workers?"
            )


def _as_done(futures: dict[Future[str], Path], tick: Tick) -> Iterator[Future[str]]:
    """Yield futures as they finish, ticking meanwhile; a run's own mistake surfaces here."""
    pending = set(futures)
    while pending:
        finished, pending = wait(pending, timeout=TICK_SECONDS, return_when=FIRST_COMPLETED)
        tick()
        for future in finished:
            future.result()
            yield future


def _ended(future: Future[str]) -> bool:
    return future.done() and future.exception() is None


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    slots = context.Queue()
    for share in _shares(workers):
        slots.put(share)
    return ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker, initargs=(slots,))


def _shares(workers: int) -> list[dict[str, object]]:
    """Return one share for each worker: an accelerator in turn, or an equal part of the cores."""
    if jax.default_backend() == "gpu":
        return [{"accelerator": str(i % jax.device_count())} for i in range(workers)]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    return [{"cores": cores[i % len(cores) :: workers] or [cores[i % len(cores)]]} for i in range(workers)]


def ray(folders: Sequence[Path], tick: Tick, *, address: str | None = None, gpus: float = 0, cpus: float = 1) -> None:
    """Train each folder's run as a task of a Ray cluster that sees the same file system.

    A task whose worker or node dies is retried by Ray and goes on from the run's last checkpoint.

    Args:
        folders: run folders with a ``config.json``.
        tick: called about twice a second.
        address: of the cluster; None starts one on this machine.
        gpus, cpus: what a run takes.
    """
    try:
        import ray as engine
    except ImportError:
        raise UserError('--engine ray needs Ray: pip install "strideflax[ray]"') from None
    engine.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        task = engine.remote(num_gpus=gpus, num_cpus=cpus, max_retries=ATTEMPTS, retry_exceptions=False)(train_folder)
        pending = [task.remote(str(folder.absolute())) for folder in folders]
        while pending:
            finished, pending = engine.wait(pending, timeout=TICK_SECONDS)
            tick()
            engine.get(finished)
    finally:
        engine.shutdown()


def slurm(
    folders: Sequence[Path], tick: Tick, *, partition: str | None = None, gpus: int = 0, cluster: str | None = None
) -> None:
    """Train each folder's run as a job of a Slurm array, through submitit; jobs that are preempted are requeued.

    Args:
        folders: run folders with a ``config.json``.
        tick: called about twice a second.
        partition: Slurm's; None is its default.
        gpus: a job.
        cluster: submitit's; ``"local"`` runs the jobs as processes of this machine.
    """
    try:
        import submitit
    except ImportError:
        raise UserError('--engine slurm needs submitit: pip install "strideflax[slurm]"') from None
    executor = submitit.AutoExecutor(folder=folders[0].absolute().parent / ".slurm", cluster=cluster)
    executor.update_parameters(name="strideflax", timeout_min=24 * 60, gpus_per_node=gpus, cpus_per_task=4)
    if partition:
        executor.update_parameters(slurm_partition=partition)
    jobs = executor.map_array(train_folder, [str(folder.absolute()) for folder in folders])
    while not all(job.done() for job in jobs):
        tick()
        time.sleep(TICK_SECONDS)
    for job in jobs:
        job.result()
