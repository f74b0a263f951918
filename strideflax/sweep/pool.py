"""Worker processes on this machine. Each trains one run after another; one that dies takes none of the others with it.

`concurrent.futures` has such a pool, but ends all its processes when one of them is killed.
"""

import contextlib
import math
import multiprocessing
import signal
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from strideflax.errors import UserError
from strideflax.sweep.worker_process import READY, Assignment, serve


class WorkerDied(Exception):
    """The process that trained a run is gone; the message says how."""


class WorkerSlot:
    """A share of this machine and the process that works on it.

    Attributes:
        folder: the run that the process has in hand, or None.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._assignment: Assignment | None = None
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._is_ready = False

    def start(self) -> None:
        """Start a process if there is none. It loads its libraries while this one finds out what there is to do."""
        if self._process is None:
            self._start()
            if self._assignment is not None:
                self._send(self._assignment)

    def assign(self, assignment: Assignment) -> None:
        """Say what the process, and any that takes its place, is for."""
        self._assignment = assignment
        if self._process is not None:
            self._send(assignment)

    def give(self, folder: Path) -> None:
        """Let the process train the run in ``folder``; start it first if there is none."""
        assert self._assignment is not None  # a slot is assigned before it is given anything
        self.start()
        self.folder = folder
        self._send(str(folder))

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
        """Wait until the process has ended, now that it gets nothing more to do; kill it at the time ``by`` of `time.time`.

        One that has no assignment is killed at once.
        """
        if self._process is None:
            return
        self._connection.close()
        if self._assignment is None:
            self._process.kill()  # it has been told nothing, so it has nothing to save
        elif by < math.inf:
            self._process.join(max(by - time.time(), 0.0))
            self._process.kill()  # one that compiles cannot be asked
        self._end()

    @property
    def _connection(self) -> Connection:
        assert self._pipe is not None  # only asked of a slot that has a process
        return self._pipe

    def _send(self, what: Assignment | str) -> None:
        with contextlib.suppress(OSError):  # it has just died, which `answer` will find out
            self._connection.send(what)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        pipe, other_end = context.Pipe()
        process = context.Process(target=serve, args=(other_end,))
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
    resource_tracker.ensure_running()  # or the first process to start would start it, which lets the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
