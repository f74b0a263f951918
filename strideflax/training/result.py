"""What a run leaves: its result, and the trained model."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import jax
from flax import nnx

from strideflax.config import Config
from strideflax.files import write_json
from strideflax.model import MiniResNet, abstract_model
from strideflax.training.checkpoint import Checkpoints
from strideflax.training.run_folder import RunFolderError, read_json, read_run_config
from strideflax.training.step import split_model

FINISHED, DIVERGED, FAILED = "finished", "diverged", "failed"


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What stands in ``result.json``, in its order. What a run did not reach is None.

    Attributes:
        status: "finished"; "diverged", if a loss was not finite; "failed", if the run could not be trained at all.
        error: what went wrong.
        traceback: the last lines of a failed run's.
        test_loss, test_accuracy: over every test image once, with the final weights.
        val_accuracy, val_loss, train_loss: of the last epoch. Accuracies are fractions.
        seed, epochs, config_fingerprint: the configuration's.
        dataset: name, fingerprint, number of images of each split, and where they came from.
        params, macs: parameters, and multiply-adds per image.
        device: the devices in words.
        steps: training steps done.
        steps_per_dispatch: training steps per call of the device.
        images_per_second: of training alone.
        compile_seconds, train_seconds: over all the calls that the run took; validation and saving not counted.
        versions: of Python and of the packages that a result depends on.
        config: the whole configuration.
    """

    status: str
    error: str | None = None
    traceback: list[str] | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    val_accuracy: float | None = None
    val_loss: float | None = None
    train_loss: float | None = None
    seed: int | None = None
    config_fingerprint: str | None = None
    dataset: dict[str, Any] | None = None
    params: int | None = None
    macs: int | None = None
    epochs: float | None = None
    device: str | None = None
    steps: int | None = None
    steps_per_dispatch: int | None = None
    images_per_second: float | None = None
    compile_seconds: float | None = None
    train_seconds: float | None = None
    versions: dict[str, str | None] | None = None
    config: dict[str, Any] | None = None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the result that ``values`` of a ``result.json`` say; fields of other versions are passed over."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{"status": "unknown"} | {name: value for name, value in values.items() if name in known})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for ``result.json``.

        ``error`` and ``traceback`` are left out where there is none; a failed run, which was never begun, has no numbers.
        """
        values = dataclasses.asdict(self)
        optional = ["error", "traceback"]
        if self.status == FAILED:
            optional = [name for name in values if name != "test_accuracy"]
        for name in optional:
            if values[name] is None:
                del values[name]
        return values


def read_result(folder: Path) -> TrainingResult | None:
    """Return the run's result, or None if it has not ended."""
    path = folder / "result.json"
    return TrainingResult.from_dict(read_json(path)) if path.exists() else None


def write_result(folder: Path, result: TrainingResult) -> None:
    """Write ``result.json``: the last thing that a run does."""
    write_json(folder / "result.json", result.to_dict())


@dataclass(frozen=True)
class FinishedRun:
    """What a finished run left: its folder, its configuration, its result and the model with the final weights."""

    folder: Path
    config: Config
    result: TrainingResult
    model: MiniResNet


def restore_run(folder: Path | str) -> FinishedRun:
    """Return the finished run in ``folder``.

    Raises:
        RunFolderError: there is no run, it has not finished, or its last checkpoint is gone or damaged.
    """
    folder = Path(folder)
    result = TrainingResult.from_dict(read_json(folder / "result.json"))
    config = read_run_config(folder)
    if result.status != FINISHED:
        raise RunFolderError(f"{folder} holds a run that did not finish (status {result.status!r})")
    graph, params, stats = split_model(abstract_model(config.model))
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    template = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), {"params": params, "stats": stats}
    )
    with Checkpoints(folder / "checkpoints") as checkpoints:
        restored = checkpoints.restore(template, partial=True)
    if restored.step is None or restored.step != result.steps:
        reason = restored.damaged[0] if restored.damaged else "its checkpoint is gone"
        raise RunFolderError(f"{folder} can't be restored: {reason}")
    return FinishedRun(folder, config, result, nnx.merge(graph, restored.state["params"], restored.state["stats"]))
