"""What a run leaves: its result, and the trained model."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from strideflax.config import Config
from strideflax.config_file import load_config_file
from strideflax.data import Dataset, load_dataset
from strideflax.data.augment import normalize
from strideflax.data.cifar_layout import CIFAR10, SIDE
from strideflax.files import write_json
from strideflax.model import MiniResNet, abstract_model
from strideflax.programs import Program
from strideflax.training.checkpoint import Checkpoints
from strideflax.training.run_folder import RunFolderError, read_json, read_metrics, read_run_config
from strideflax.training.step import split_model

FINISHED, DIVERGED, FAILED = "finished", "diverged", "failed"


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What stands in ``result.json``, in its order. What a run did not reach is None.

    Attributes:
        status: "finished"; "diverged", if a loss was not finite; "failed", if the run could not be trained at all.
        error: what went wrong.
        traceback: the last lines of a failed run's.
        warnings: what is suspicious about a finished run's numbers, see `strideflax.tasks.Task.suspicions`.
        test_loss, test_accuracy: over every test image once, with the final weights.
        test_balanced_accuracy: the mean over the classes of each one's share of correct test images.
        test_by_class: numbers of test images, in the order of the classes: ``images`` of a class, those ``correct`` among them,
            and those ``predicted`` to be of it.
        test_mean_iou, val_mean_iou: of a run that segments, see `strideflax.tasks.mean_overlap`; it has no numbers by class.
        val_accuracy, val_loss, train_loss: of the last epoch. Accuracies are fractions, of pixels where each has a class.
        seed, epochs, config_fingerprint: the configuration's.
        dataset: name, fingerprint, number of images of each split, where they came from, the names of the classes, an
            image's height, width and channels, and the mean and the deviation of the training pixels / 255 per channel.
        params, macs: parameters, and multiply-adds per image.
        device: the devices in words.
        deterministic: on a GPU, whether every program that trained it was compiled to give the same bits each time.
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
    warnings: list[str] | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    test_balanced_accuracy: float | None = None
    test_by_class: dict[str, list[int]] | None = None
    test_mean_iou: float | None = None
    val_mean_iou: float | None = None
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
    deterministic: bool | None = None
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

        ``error``, ``traceback`` and ``warnings`` are left out where there are none, ``deterministic`` where XLA has no such
        choice, and what another task or an older result does not have. A failed run, which was never begun, has no numbers.
        """
        values = dataclasses.asdict(self)
        optional = ["error", "traceback", "warnings", "deterministic", "test_balanced_accuracy", "test_by_class"]
        optional += ["test_mean_iou", "val_mean_iou"]
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
    """What a finished run left: its folder, its configuration, its result and the model with the final weights.

    It is used without its images: their mean, deviation and classes stand in the result. For runs from before they did,
    the images are read once.
    """

    folder: Path
    config: Config
    result: TrainingResult
    model: MiniResNet

    @cached_property
    def _images(self) -> Dataset:
        return load_dataset(self.config.data)

    def statistics(self, load: Callable[[], Dataset] | None = None) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the mean and the deviation of the training pixels / 255, per channel: from the result if they stand there.

        Args:
            load: returns the run's images, if they do not; None loads them from where the run found them.
        """
        stored = self.result.dataset or {}
        if "mean" in stored and "std" in stored:
            return tuple(stored["mean"]), tuple(stored["std"])
        dataset = self._images if load is None else load()
        return dataset.mean, dataset.std

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of the training pixels / 255, per channel."""
        return self.statistics()[0]

    @property
    def std(self) -> tuple[float, ...]:
        """The deviation of the training pixels / 255, per channel."""
        return self.statistics()[1]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the logits."""
        stored = self.result.dataset or {}
        return tuple(stored["classes"]) if "classes" in stored else self._images.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that the run was trained on."""
        return stored_image_shape(self.config, self.result)

    def predict(self, images: ArrayLike) -> Array:
        """Return the logits ``[batch, classes]``, float32, of images uint8 ``[batch, height, width, channels]``.

        Of a run that segments they are ``[batch, height, width, classes]``.

        Example:
            >>> run = restore_run("runs/stride2-quick-1a2b3c4d5e6f")  # doctest: +SKIP
            >>> [run.classes[i] for i in run.predict(images).argmax(-1)]  # doctest: +SKIP

        Raises:
            ValueError: images of another type or shape.
        """
        return self._predict(jnp.asarray(images))

    @cached_property
    def _predict(self) -> Callable[[Array], Array]:
        graph, state = nnx.split(self.model)

        @Program
        def predict(state: nnx.State, images: Array) -> Array:
            return nnx.merge(graph, state)(normalize(images, self.mean, self.std))

        return partial(predict, state)


def stored_image_shape(config: Config, result: TrainingResult) -> tuple[int, int, int]:
    """Return height, width and channels of a run's images; runs from before they were written down had 32 x 32 pixels."""
    stored = (result.dataset or {}).get("image_shape")
    if stored is None:
        rows, columns = config.data.stretch
        return SIDE * rows, SIDE * columns, 3
    height, width, channels = stored
    return height, width, channels


def restore_run(folder: Path | str, config_file: str | None = None) -> FinishedRun:
    """Return the finished run in ``folder``.

    Args:
        folder: the run folder.
        config_file: a config file that is run first, because it adds an operator of its own to `DOWNSAMPLERS`.

    Raises:
        ConfigError: ``config_file`` is missing or broken.
        RunFolderError: there is no run, it has not finished, or its last checkpoint is not there or damaged.
    """
    folder = Path(folder)
    if config_file is not None:
        load_config_file(config_file)
    result = TrainingResult.from_dict(read_json(folder / "result.json"))
    config = read_run_config(folder)
    if result.status != FINISHED:
        raise RunFolderError(f"{folder} holds a run that did not finish (status {result.status!r})")
    classes = (result.dataset or {}).get("classes", CIFAR10.classes)
    channels = stored_image_shape(config, result)[-1]
    graph, params, stats = split_model(abstract_model(config.model, classes=len(classes), in_features=channels))
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    template = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), {"params": params, "stats": stats}
    )
    with Checkpoints(folder / "checkpoints") as checkpoints:
        restored = checkpoints.restore(template, partial=True)
    if restored.step is None or restored.step != result.steps:
        gone = (
            "its checkpoint is gone"
            if read_metrics(folder)
            else "it has no weights, as runs in a file of results have none"
        )
        reason = restored.damaged[0] if restored.damaged else gone
        raise RunFolderError(f"{folder} can't be restored: {reason}")
    return FinishedRun(folder, config, result, nnx.merge(graph, restored.state["params"], restored.state["stats"]))
