"""What a configuration and its images determine before the first step: the model, the compiled functions, the schedule."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx
from jax import Array
from jax.sharding import NamedSharding

from strideflax.config import Config, ConfigError
from strideflax.data import Dataset, Split, load_dataset
from strideflax.inspection import count_macs, count_params
from strideflax.model import abstract_model, check_strides
from strideflax.training.environment import describe_device
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


@dataclass(frozen=True)
class Trainer:
    """Everything that a configuration and its images determine, before the first step."""

    config: Config
    dataset: Dataset
    graph: nnx.GraphDef
    initial: TrainState
    train_step: TrainStep
    eval_step: EvalStep
    eval_batch_size: int
    schedule: optax.Schedule
    key: Array
    replicated: NamedSharding | None
    steps_per_epoch: int
    total_steps: int

    @property
    def plan(self) -> dict[str, Any]:
        """What will run, in words and numbers."""
        config, dataset = self.config, self.dataset
        size = dataset.train.images.shape[1:3]
        model = abstract_model(config.model)
        return {
            "model": f"mini-ResNet, {config.model.stem.kernel}x{config.model.stem.kernel}/{config.model.stem.stride} stem, "
            f"widths {'/'.join(map(str, config.model.widths))}, {config.model.downsample}",
            "params": count_params(model),
            "macs": count_macs(model, size),
            "dataset": {
                "name": dataset.name,
                "fingerprint": dataset.fingerprint,
                "train_count": len(dataset.train),
                "val_count": len(dataset.val),
                "test_count": len(dataset.test),
                "source": dataset.source,
            },
            "device": describe_device(),
            "epochs": config.epochs,
            "steps": self.total_steps,
            "batch_size": config.batch_size,
            "seed": config.seed,
            "config_fingerprint": config.fingerprint,
        }

    def pixels(self, split: Split) -> Pixels:
        """Put a split's images and labels on every device."""
        return Pixels(*jax.device_put((split.images, split.labels), self.replicated))

    def order(self, epoch: int) -> Array:
        """Return the order of the training images in ``epoch``, on every device."""
        ordered = jax.jit(epoch_order, static_argnums=2, out_shardings=self.replicated)
        return ordered(self.key, np.int32(epoch), len(self.dataset.train))

    def compile_steps(self, count: int, state: TrainState, train: Pixels) -> TrainStep:
        """Compile ``count`` training steps as one program, which takes the state's memory for its result."""
        steps = jax.jit(repeat_step(self.train_step, count), donate_argnums=0, out_shardings=self.replicated)
        return steps.lower(state, train, self.order(0), self.key).compile()

    def evaluate_as(self, name: str, state: TrainState, split: Pixels | None) -> dict[str, float | None]:
        """Return ``{NAME_loss, NAME_accuracy}`` over every image of ``split`` once; None without images."""
        if split is None or split.labels.size == 0:
            return {f"{name}_loss": None, f"{name}_accuracy": None}
        loss, accuracy = evaluate(self.eval_step, state, split, self.eval_batch_size)
        return {f"{name}_loss": loss, f"{name}_accuracy": accuracy}


def prepare(config: Config) -> Trainer:
    """Load the images and build the model and its step, writing nothing.

    Raises:
        UserError: images that can't be found, a batch larger than the training set, strides larger than the map.
    """
    dataset = load_dataset(config.data)
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
    key = jax.jit(partial(jax.random.key, config.seed), out_shardings=replicated)()
    graph = model_structure(config)
    initial = jax.jit(partial(initial_state, config, optimizer), out_shardings=replicated)(key)
    eval_batch = -(-config.eval_batch_size // jax.device_count()) * jax.device_count()
    return Trainer(
        config=config,
        dataset=dataset,
        graph=graph,
        initial=initial,
        train_step=make_train_step(config, graph, optimizer, dataset.mean, dataset.std, sharding),
        eval_step=jax.jit(
            make_eval_step(graph, eval_batch, dataset.mean, dataset.std, sharding), out_shardings=replicated
        ),
        eval_batch_size=eval_batch,
        schedule=schedule,
        key=key,
        replicated=replicated,
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
    )
