"""Bring back a finished run: its configuration, its result, and the model with the final weights."""

from pathlib import Path

import jax
from flax import nnx

from strideflax.config import Config
from strideflax.training.checkpoint import Checkpoints
from strideflax.training.optimizer import learning_rate_schedule, make_optimizer
from strideflax.training.run_folder import FinishedRun, RunFolderError, read_json
from strideflax.training.step import initial_state, model_structure


def restore_run(folder: Path) -> FinishedRun:
    """Return the finished run in ``folder``.

    Raises:
        RunFolderError: there is no run, it has not finished, or its last checkpoint is gone or damaged.
    """
    result = read_json(folder / "result.json")
    config = Config.from_dict(read_json(folder / "config.json"))
    if result.get("status") != "finished":
        raise RunFolderError(f"{folder} holds a run that did not finish (status {result.get('status')!r})")
    optimizer = make_optimizer(config.optimizer, learning_rate_schedule(config.optimizer, 1, 1))
    like = jax.eval_shape(lambda: initial_state(config, optimizer, jax.random.key(0)))
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=_here()), like)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        state, _, damaged = checkpoints.restore(like)
    if state is None or int(state.step) != result.get("steps"):
        reason = damaged[0] if damaged else "its checkpoint is gone"
        raise RunFolderError(f"{folder} can't be restored: {reason}")
    return FinishedRun(folder, config, result, nnx.merge(model_structure(config), state.params, state.stats))


def _here() -> jax.sharding.Sharding:
    return jax.sharding.SingleDeviceSharding(jax.devices()[0])
