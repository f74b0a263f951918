"""What a worker does, on whatever machine an engine puts it: train the run whose folder it is given."""

import multiprocessing
import os
import signal
import threading
import traceback
from pathlib import Path

from strideflax.config import Config
from strideflax.environment import versions
from strideflax.errors import one_line
from strideflax.process import StopSignal, keep_memory, quiet_storage
from strideflax.training.result import FAILED, TrainingResult, read_result, write_result
from strideflax.training.run_folder import InUseError, RunFolderError, read_run_config

_stop: StopSignal | None = None  # in a worker of the local engine


def train_folder(folder: str) -> str:
    """Train the run that ``folder/config.json`` describes, or go on with it; return its status.

    A run that fails is written down as such, with the error, and raises nothing: the others go on. A disk's trouble is
    not the run's: it is raised.
    """
    from strideflax.compile_cache import keep_compiled
    from strideflax.training import Interrupted, train

    path = Path(folder)
    keep_memory()
    keep_compiled(path.parent / ".compiled")  # runs of one shape, such as the seeds of an operator, share a program
    config = read_run_config(path)
    try:
        return str(train(config, path, should_stop=lambda: _stop is not None and _stop()).status)
    except InUseError:
        return "running"  # another process has it: left to it
    except Interrupted:
        return "started"
    except (RunFolderError, OSError):
        raise  # the folder is not ours, or can't be written: nothing to write down
    except Exception as error:
        if read_result(path) is None:
            write_result(path, _failure(config, error))
        return "failed"


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _failure(config: Config, error: Exception) -> TrainingResult:
    return TrainingResult(
        status=FAILED,
        error=f"{type(error).__name__}: {one_line(error)}"[:500],
        traceback=traceback.format_exception(error)[-20:],
        seed=config.seed,
        versions=versions(),
        config=config.to_dict(),
    )


def start_worker(slots: "object") -> None:
    """Bind this worker process to one slot: an accelerator, or a share of the cores. Runs before JAX computes.

    Ctrl-C is the sweep's to answer: it asks its workers by SIGTERM, upon which a run saves after its step. When the sweep is
    gone, its workers go too.

    Args:
        slots: a queue of dicts, ``{"cores": [...]}`` or ``{"accelerator": "0"}``; each worker takes one.
    """
    global _stop
    quiet_storage()
    _stop = StopSignal()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    share = slots.get()  # type: ignore[attr-defined]
    if "accelerator" in share:
        os.environ["CUDA_VISIBLE_DEVICES"] = share["accelerator"]
    elif hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, share["cores"])
