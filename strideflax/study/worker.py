"""What a worker does, on whatever machine an engine puts it: train the run whose folder it is given."""

import os
import traceback
from pathlib import Path

from strideflax.training.environment import versions
from strideflax.training.run_folder import RunFolderError, read_json, read_result, write_json


def train_folder(folder: str) -> str:
    """Train the run that ``folder/config.json`` describes, or go on with it; return its status.

    A run that fails is written down as such, with the error, and raises nothing: the others go on.
    """
    import jax

    from strideflax.config import Config
    from strideflax.training.run import train

    # Runs of one shape, such as the seeds of an operator, share a compiled program.
    jax.config.update("jax_compilation_cache_dir", str(Path(folder).absolute().parent / ".compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    path = Path(folder)
    config = Config.from_dict(read_json(path / "config.json"))
    try:
        return str(train(config, path)["status"])
    except RunFolderError:
        raise  # another process has the run, or the folder is not ours: nothing to write down
    except Exception as error:
        if read_result(path) is None:
            write_json(path / "result.json", _failure(config.to_dict(), error))
        return "failed"


def _failure(config: dict[str, object], error: Exception) -> dict[str, object]:
    return {
        "status": "failed",
        "error": f"{type(error).__name__}: {' '.join(str(error).split())}"[:500],
        "traceback": traceback.format_exception(error)[-20:],
        "test_accuracy": None,
        "seed": config["seed"],
        "config": config,
        "versions": versions(),
    }


def take_share(slots: "object") -> None:
    """Bind this worker process to one slot: an accelerator, or a share of the cores. Runs before JAX is imported.

    Args:
        slots: a queue of dicts, ``{"cores": [...]}`` or ``{"accelerator": "0"}``; each worker takes one.
    """
    share = slots.get()  # type: ignore[attr-defined]
    if "accelerator" in share:
        os.environ["CUDA_VISIBLE_DEVICES"] = share["accelerator"]
    elif hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, share["cores"])
