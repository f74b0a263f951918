"""Worker processes on this machine. Each trains one run after another; one that dies takes none of the others with it.

`concurrent.futures` has such a pool, but ends all its processes when one of them is killed.
"""

import contextlib
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import jax

from strideflax.errors import UserError
from strideflax.sweep.worker import READY, Share, serve


class WorkerDied(Exception):
    """The process that trained a run is gone; the message says how."""


class WorkerSlot:
    """A share of this machine and the process that works on it.

    Attributes:
        folder: the run that the process has in hand, or None.
    """

    def __init__(self, share: Share, config_file: str | None = None):
        self.folder: Path | None = None
        self._share = share
        self._config_file = config_file
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._is_ready = False

    def give(self, folder: Path) -> None:
        """Let the process train the run in ``folder``; start it first if there is none."""
        if self._process is None:
            self._start()
        self.folder = folder
        with contextlib.suppress(OSError):  # it has just died, which `answer` will find out
            self._connection.send(str(folder))

    @property
    def waits_on(self) -> Connection:
        """What becomes readable when the process has answered, or has died."""
        return self._connection

    def answer(self) -> str | Exception | None:
        """Return the status of the run in hand or the error that its worker raised, and None if it is still at work.

        Raises:
            WorkerDied: the process is gone.
            UserError: the process is gone and had not even started.
        """
        try:
            while self._connection.poll():
                answer = self._connection.recv()
                if answer != READY:
                    return answer
                self._is_ready = True
        except (EOFError, OSError):
            code = self._end()
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            if not self._is_ready:
                raise UserError(f"a worker process {how} before it could start") from None
            raise WorkerDied(how) from None
        return None

    def stop(self) -> None:
        """Ask the process to save its run and end."""
        if self._process is not None:
            self._process.terminate()

    def close(self, by: float = math.inf) -> None:
        """Wait until the process has ended, now that it gets nothing more to do; kill it at the time ``by`` of `time.time`."""
        if self._process is None:
            return
        self._connection.close()
        if by < math.inf:
            self._process.join(max(by - time.time(), 0.0))
            self._process.kill()  # one that compiles cannot be asked
        self._end()

    @property
    def _connection(self) -> Connection:
        assert self._pipe is not None  # only asked of a slot that has a run in hand
        return self._pipe

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        pipe, other_end = context.Pipe()
        process = context.Process(target=serve, args=(self._share, other_end, self._config_file))
        with _without_interrupts():
            process.start()
        other_end.close()  # so that the pipe ends when the process does
        # Only now: a signal can stop us while it starts, and a process that has not started can be neither stopped nor joined.
        self._process, self._pipe, self._is_ready = process, pipe, False

    def _end(self) -> int:
        """Close the pipe, wait for the process and return its exit code."""
        assert self._process is not None
        self._connection.close()
        self._process.join()
        code = self._process.exitcode or 0
        self._process.close()
        self._process = self._pipe = None
        return code


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let a process that is started here never see Ctrl-C, which a terminal sends to all: this process answers it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
