"""What a configuration and its images determine before the first step: the model, the compiled functions, the schedule."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from jax import Array
from jax.sharding import NamedSharding

from strideflax.config import Config, ConfigError
from strideflax.data import Dataset, Split, load_dataset
from strideflax.data.encoded_images import ImageProgress, no_image_progress
from strideflax.environment import describe_device
from strideflax.inspection import count_macs, count_params
from strideflax.model import ModelConfig, abstract_model, check_strides
from strideflax.programs import Program
from strideflax.tasks import TASKS, Evaluation
from strideflax.training.monitoring import Plan
from strideflax.training.optimizer import learning_rate_schedule, make_optimizer
from strideflax.training.step import (
    EvalStep,
    Pixels,
    TrainState,
    TrainStep,
    data_sharding,
    epoch_order,
    evaluate,
    initial_state,
    make_eval_step,
    make_train_step,
    model_structure,
    repeat_step,
)


@dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """Everything that a configuration and its images determine, before the first step.

    Attributes:
        config, dataset: what the rest follows from.
        plan: what will run, in words and numbers.
        initial: the state before the first step.
        train_step: one training step, not yet compiled.
        eval_step: totals over one batch, jitted.
        eval_batch_size: images per `eval_step`, over all devices.
        schedule: step -> learning rate.
        key: the root of everything random.
        replicated: how to lay data over all devices; None for a single one.
        steps_per_epoch, total_steps: training steps.
    """

    config: Config
    dataset: Dataset
    plan: Plan
    initial: TrainState
    train_step: TrainStep
    eval_step: EvalStep
    eval_batch_size: int
    schedule: optax.Schedule
    key: Array
    replicated: NamedSharding | None
    steps_per_epoch: int
    total_steps: int

    def pixels(self, split: Split) -> Pixels:
        """Put a split's images and labels on every device."""
        return Pixels(*jax.device_put((split.images, split.labels), self.replicated))

    def order(self, epoch: int) -> Array:
        """Return the order of the training images in ``epoch``, on every device."""
        ordered = Program(epoch_order, static_argnums=2, out_shardings=self.replicated)
        return ordered(self.key, jax.device_put(np.int32(epoch), self.replicated), len(self.dataset.train))

    def lower_steps(self, count: int, state: TrainState, train: Pixels) -> Any:
        """Lower ``count`` training steps as one program, which takes the state's memory for its result, for `compiled`."""
        steps = Program(repeat_step(self.train_step, count), donate_argnums=0, out_shardings=self.replicated)
        return steps.lower(state, train, self.order(0), self.key)

    def evaluate(self, state: TrainState, split: Split) -> Evaluation | None:
        """Evaluate every image of ``split`` once; None without images."""
        if len(split) == 0:
            return None
        pixels, task = self.pixels(split), TASKS[self.config.task]
        return evaluate(task, self.eval_step, state, pixels, self.eval_batch_size, self.replicated)


def prepare(config: Config, progress: ImageProgress = no_image_progress) -> TrainingSetup:
    """Load the images and build the model and its step, writing nothing.

    Raises:
        UserError: images that can't be found, a batch larger than the training set, strides larger than the map.
    """
    dataset = load_dataset(config.data, progress)
    count = len(dataset.train)
    if config.batch_size > count:
        raise ConfigError(f"config.batch_size must be at most the {count} training images, got {config.batch_size}")
    check_strides(config.model, dataset.train.images.shape[1:3])
    try:
        sharding, replicated = data_sharding(config.batch_size)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    steps_per_epoch = count // config.batch_size
    total_steps = max(round(config.epochs * steps_per_epoch), 1)
    schedule = learning_rate_schedule(config.optimizer, steps_per_epoch, total_steps)
    optimizer = make_optimizer(config.optimizer, schedule)
    key = Program(partial(jax.random.key, config.seed), out_shardings=replicated)()
    graph = model_structure(config, **dataset.model_arguments)
    initial = Program(
        lambda key: initial_state(config, optimizer, key, **dataset.model_arguments),
        runs_once=True,
        out_shardings=replicated,
    )
    eval_batch_size = -(-config.eval_batch_size // jax.device_count()) * jax.device_count()
    eval_step = make_eval_step(TASKS[config.task], graph, eval_batch_size, dataset.mean, dataset.std, sharding)
    return TrainingSetup(
        config=config,
        dataset=dataset,
        plan=_plan(config, dataset, total_steps),
        initial=initial(key),
        train_step=make_train_step(config, graph, optimizer, dataset.mean, dataset.std, sharding),
        eval_step=Program(eval_step, out_shardings=replicated),
        eval_batch_size=eval_batch_size,
        schedule=schedule,
        key=key,
        replicated=replicated,
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
    )


def _dense_part(config: ModelConfig) -> str:
    """Return in words what makes a classifier of pixels of the net; nothing for a classifier of images."""
    if config.decoder is None:
        return ""
    dilated = "" if config.output_stride is None else f", output stride {config.output_stride} by dilation"
    return f"{dilated}, {config.decoder} decoder"


def _plan(config: Config, dataset: Dataset, total_steps: int) -> Plan:
    model = abstract_model(config.model, **dataset.model_arguments)
    stem = config.model.stem
    return Plan(
        model=f"{model.title}, {stem.kernel}x{stem.kernel}/{stem.stride} stem, "
        f"widths {'/'.join(map(str, config.model.widths))}, {config.model.downsample}{_dense_part(config.model)}",
        params=count_params(model),
        macs=count_macs(model, dataset.train.images.shape[1:3]),
        dataset={
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "train_count": len(dataset.train),
            "val_count": len(dataset.val),
            "test_count": len(dataset.test),
            "source": dataset.source,
            "classes": list(dataset.classes),  # these four make the weights usable without the data set
            "image_shape": list(dataset.train.images.shape[1:]),
            "mean": list(dataset.mean),
            "std": list(dataset.std),
        },
        device=describe_device(),
        epochs=config.epochs,
        steps=total_steps,
        batch_size=config.batch_size,
        seed=config.seed,
        config_fingerprint=config.fingerprint,
    )
