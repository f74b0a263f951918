"""What a worker does, on whatever machine an engine puts it: train the runs whose folders it is given."""

import contextlib
import math
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from strideflax.compile_cache import keep_compiled
from strideflax.config_file import load_config_file
from strideflax.environment import versions
from strideflax.errors import UserError, one_line
from strideflax.process import StoppedAtOnce, StopSignal, keep_memory, quiet_storage
from strideflax.sweep.plan import RUNNING, STARTED, WAITING
from strideflax.training import Interrupted, SharedWork, train
from strideflax.training.result import FAILED, TrainingResult, read_result, write_result
from strideflax.training.run_folder import InUseError, RunFolderError, read_run_config

READY = "ready"  # what a worker process of this machine says first
LOCK_SECONDS = 2.0  # a sweep that looks at a run's lock has it for a moment, and so has a worker that is just ending


@dataclass(frozen=True)
class Share:
    """A worker's part of its machine: cores by their numbers, or one accelerator by its number."""

    cores: tuple[int, ...] = ()
    accelerator: str | None = None


def serve(share: Share, pipe: Connection, config_file: str | None) -> None:
    """Train the runs whose folders come through ``pipe``, one after another, and answer each with its status.

    A disk's trouble is not a run's: the answer is then the error. The process ends with the pipe, with the process that
    started it, or when it is asked to by SIGTERM, upon which a run saves after its step. Ctrl-C is the sweep's to answer.
    """
    quiet_storage()
    stop = StopSignal()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if share.accelerator is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = share.accelerator
    elif hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, share.cores)
    worker = Worker(config_file, is_asked_to_stop=stop)
    with contextlib.suppress(EOFError, OSError, StoppedAtOnce):  # nobody asks any more
        pipe.send(READY)
        while not stop.number:
            folder = pipe.recv()
            try:
                answer: str | Exception = worker.train(folder)
            except (UserError, OSError) as error:
                answer = error
            pipe.send(answer)


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


class Worker:
    """Trains one run after another in this process. What a run loads and compiles, the next ones find.

    Args:
        config_file: the sweep's, run before the first of them: it may define an operator of its own.
        stop_at: when a run is to save and stop, by `time.time`; one that has not begun by then does not begin.
        is_asked_to_stop: called after each dispatch; True lets the run save and stop before then.
    """

    def __init__(
        self,
        config_file: str | None = None,
        stop_at: float = math.inf,
        is_asked_to_stop: Callable[[], bool] = lambda: False,
    ):
        self._config_file = config_file
        self._stop_at = stop_at
        self._is_asked_to_stop = is_asked_to_stop
        self._shared: SharedWork | None = None

    def train(self, folder: str) -> str:
        """Train the run that ``folder/config.json`` describes, or go on with it; return its status.

        A run that fails is written down as such, with the error, and raises nothing: the others go on.

        Raises:
            RunFolderError: the folder is not ours, so nothing is written down.
            OSError: the folder can't be written.
        """
        if time.time() >= self._stop_at:
            return WAITING
        path, shared = Path(folder), self._prepared()
        config = read_run_config(path)
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                return train(config, path, should_stop=self._should_stop, shared=shared).status
            except InUseError:
                if time.monotonic() > deadline:
                    return RUNNING  # another process trains it: it is left to that one
                time.sleep(0.1)
            except Interrupted:
                return STARTED
            except (RunFolderError, OSError):
                raise
            except Exception as error:
                self._shared = SharedWork()  # the next run depends on nothing that this one left
                if read_result(path) is None:
                    text = f"{type(error).__name__}: {one_line(error)}"[:500]
                    write_failure(path, text, traceback.format_exception(error)[-20:])
                return FAILED

    def _should_stop(self) -> bool:
        return self._is_asked_to_stop() or time.time() >= self._stop_at

    def _prepared(self) -> SharedWork:
        """Return what runs share; before the first of them, set the process up."""
        if self._shared is None:
            keep_memory()
            keep_compiled()
            if self._config_file is not None:
                load_config_file(self._config_file)  # the sweep's own, never one that a folder names
            self._shared = SharedWork()
        return self._shared


def train_group(folders: list[str], config_file: str | None = None, stop_at: float = math.inf) -> None:
    """Train one run after another, as `Worker.train`, in a process that an engine has given to them."""
    worker = Worker(config_file, stop_at)
    for folder in folders:
        worker.train(folder)


def write_failure(folder: Path, error: str, lines: list[str] | None = None) -> None:
    """Write down that a run could not be trained: ``error`` says why, ``lines`` are the end of a traceback."""
    config = read_run_config(folder)
    result = TrainingResult(
        status=FAILED, error=error, traceback=lines, seed=config.seed, versions=versions(), config=config.to_dict()
    )
    write_result(folder, result)
