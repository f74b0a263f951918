"""What the runs of one process share: their images, on the devices, and their compiled programs.

Runs of one model on one data set differ by their seeds and by the numbers of their optimizers, which are arguments of the
programs. So the second of them costs its steps and little more.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import optax
from jax import Array
from jax.sharding import NamedSharding

from strideflax.config import Config, ConfigError, DataConfig
from strideflax.data import Dataset, Split, load_dataset
from strideflax.data.encoded_images import ImageProgress, no_image_progress
from strideflax.inspection import count_macs, count_params
from strideflax.model import abstract_model, check_strides
from strideflax.programs import Program
from strideflax.tasks import TASKS
from strideflax.training.optimizer import (
    StepNumbers,
    learning_rate_schedule,
    make_optimizer,
    step_numbers,
    without_numbers,
)
from strideflax.training.step import (
    EvalStep,
    Pixels,
    TrainState,
    data_sharding,
    epoch_order,
    initial_state,
    make_eval_step,
    make_train_step,
    split_model,
)

NumberedStep = Callable[[TrainState, Pixels, Array, Array, StepNumbers], TrainState]
KEPT_PROGRAMS = 32  # nets whose programs stay in memory; one that has gone is found on the disk again


class LoadedImages:
    """A data set, with the splits that were asked for on all devices."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        self._placed: dict[tuple[int, NamedSharding | None], tuple[Split, Pixels]] = {}

    def pixels(self, split: Split, replicated: NamedSharding | None) -> Pixels:
        """Put a split on every device, once."""
        place = (id(split), replicated)  # the split is kept besides, so that no other gets its id
        if place not in self._placed:
            self._placed[place] = split, Pixels(*jax.device_put((split.images, split.labels), replicated))
        return self._placed[place][1]


@dataclass(frozen=True, kw_only=True)
class RunPrograms:
    """The functions that runs of one net, data set and schedule share, each compiled when it is first called.

    Attributes:
        key: the root of everything random, from a seed, uint32.
        initial: the state before the first step, from that key.
        order: of the training images, from the key, the epoch and their number.
        train_step: one training step, not yet compiled.
        train_steps: compiled training steps, by how many one call does.
        eval_step: totals over one batch.
        eval_batch_size: images per `eval_step`, over all devices.
        replicated: how to lay data over all devices; None for a single one.
        steps_per_epoch, total_steps: training steps.
        title, params, macs: of the net, the latter per image.
    """

    key: Callable[[Any], Array]
    initial: Callable[[Array], TrainState]
    order: Callable[..., Array]
    train_step: NumberedStep
    eval_step: EvalStep
    eval_batch_size: int
    replicated: NamedSharding | None
    steps_per_epoch: int
    total_steps: int
    title: str
    params: int
    macs: int
    train_steps: dict[int, NumberedStep] = field(default_factory=dict)


class SharedWork:
    """What runs find here they need not load or compile again.

    It holds one data set, the one that was last asked for, and the programs of `KEPT_PROGRAMS` nets, so it does not grow with
    the number of runs.
    """

    def __init__(self) -> None:
        self._images: dict[DataConfig, LoadedImages] = {}
        self._programs: OrderedDict[tuple[Config, str], RunPrograms] = OrderedDict()

    def images(self, config: DataConfig, progress: ImageProgress = no_image_progress) -> LoadedImages:
        """Return the data set that ``config`` asks for."""
        if config not in self._images:
            self._images.clear()  # before the next is read: two might not fit
            self._images[config] = LoadedImages(load_dataset(config, progress))
        return self._images[config]

    def programs(self, config: Config, dataset: Dataset) -> RunPrograms:
        """Return the programs of a run.

        Raises:
            ConfigError: a batch larger than the training set or that does not divide by the number of devices, or strides
                larger than the map.
        """
        place = (without_arguments(config), dataset.fingerprint)
        if place not in self._programs:
            self._programs[place] = make_programs(config, dataset)
        self._programs.move_to_end(place)
        while len(self._programs) > KEPT_PROGRAMS:
            self._programs.popitem(last=False)
        return self._programs[place]


def without_arguments(config: Config) -> Config:
    """Return what is left of ``config`` in the compiled programs: the same for all runs that share them."""
    return replace(config, optimizer=without_numbers(config.optimizer), seed=0, checkpoint_epochs=1)


def make_programs(config: Config, dataset: Dataset) -> RunPrograms:
    """Return the functions of a run, for all that differ from it in their seeds and `StepNumbers` alone.

    Raises:
        ConfigError: as `SharedWork.programs`.
    """
    count, image_size = len(dataset.train), dataset.train.images.shape[1:3]
    if config.batch_size > count:
        raise ConfigError(f"config.batch_size must be at most the {count} training images, got {config.batch_size}")
    sharding, replicated = data_sharding(config.batch_size)
    check_strides(config.model, image_size)
    model = abstract_model(config.model, **dataset.model_arguments)
    graph, _, _ = split_model(model)
    eval_batch_size = -(-config.eval_batch_size // jax.device_count()) * jax.device_count()
    eval_step = make_eval_step(TASKS[config.task], graph, eval_batch_size, dataset.mean, dataset.std, sharding)
    steps_per_epoch = count // config.batch_size
    total_steps = max(round(config.epochs * steps_per_epoch), 1)

    def optimizer(numbers: StepNumbers) -> optax.GradientTransformation:
        schedule = learning_rate_schedule(config.optimizer, steps_per_epoch, total_steps, numbers.learning_rate)
        return make_optimizer(config.optimizer, schedule, numbers)

    def initial(key: Array) -> TrainState:
        return initial_state(config, optimizer(step_numbers(config.optimizer)), key, **dataset.model_arguments)

    def step(state: TrainState, train: Pixels, order: Array, key: Array, numbers: StepNumbers) -> TrainState:
        one_step = make_train_step(config, graph, optimizer(numbers), dataset.mean, dataset.std, sharding)
        return one_step(state, train, order, key)

    return RunPrograms(
        key=Program(jax.random.key, out_shardings=replicated),
        initial=Program(initial, runs_once=True, out_shardings=replicated),
        order=Program(epoch_order, static_argnums=2, out_shardings=replicated),
        train_step=step,
        eval_step=Program(eval_step, out_shardings=replicated),
        eval_batch_size=eval_batch_size,
        replicated=replicated,
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
        title=model.title,
        params=count_params(model),
        macs=count_macs(model, image_size),
    )
