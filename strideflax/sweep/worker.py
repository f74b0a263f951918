"""What a worker does, on whatever machine an engine puts it: train the runs whose folders it is given."""

import math
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from strideflax.compile_cache import keep_compiled
from strideflax.config_file import load_config_file
from strideflax.environment import versions
from strideflax.errors import one_line
from strideflax.process import keep_memory
from strideflax.sweep.plan import RUNNING, STARTED, WAITING
from strideflax.training import Interrupted, SharedWork, train
from strideflax.training.result import FAILED, TrainingResult, read_result, write_result
from strideflax.training.run_folder import InUseError, RunFolderError, read_run_config

LOCK_SECONDS = 2.0  # a sweep that looks at a run's lock has it for a moment, and so has a worker that is just ending


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
