"""What a configuration and its images determine before the first step: programs, plan, initial state, schedule."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax
from jax import Array
from jax.sharding import NamedSharding

from strideflax.config import Config
from strideflax.data import Dataset, Split
from strideflax.data.encoded_images import ImageProgress, no_image_progress
from strideflax.environment import describe_device
from strideflax.model import ModelConfig
from strideflax.programs import Program
from strideflax.tasks import TASKS, Evaluation
from strideflax.training.monitoring import Plan
from strideflax.training.optimizer import StepNumbers, learning_rate_schedule, step_numbers
from strideflax.training.sharing import LoadedImages, RunPrograms, SharedWork
from strideflax.training.step import Pixels, TrainState, evaluate, repeat_step


@dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """Everything that a configuration and its images determine, before the first step.

    Attributes:
        config, images: what the rest follows from.
        programs: what is compiled, which other runs may share.
        plan: what will run, in words and numbers.
        initial: the state before the first step.
        schedule: step -> learning rate.
        key: the root of everything random.
        numbers: the optimizer's, as the steps take them.
    """

    config: Config
    images: LoadedImages
    programs: RunPrograms
    plan: Plan
    initial: TrainState
    schedule: optax.Schedule
    key: Array
    numbers: StepNumbers

    @property
    def dataset(self) -> Dataset:
        """The images on the host."""
        return self.images.dataset

    @property
    def replicated(self) -> NamedSharding | None:
        """How to lay data over all devices; None for a single one."""
        return self.programs.replicated

    @property
    def steps_per_epoch(self) -> int:
        """Training steps of an epoch."""
        return self.programs.steps_per_epoch

    @property
    def total_steps(self) -> int:
        """Training steps of the run."""
        return self.programs.total_steps

    def pixels(self, split: Split) -> Pixels:
        """Put a split's images and labels on every device."""
        return self.images.pixels(split, self.replicated)

    def order(self, epoch: int) -> Array:
        """Return the order of the training images in ``epoch``, on every device."""
        epoch_index = jax.device_put(np.int32(epoch), self.replicated)
        return self.programs.order(self.key, epoch_index, len(self.dataset.train))

    def lower_steps(self, count: int, state: TrainState, train: Pixels) -> Any:
        """Lower ``count`` training steps as one program, which takes the state's memory for its result, for `compiled`."""
        steps = Program(repeat_step(self.programs.train_step, count), donate_argnums=0, out_shardings=self.replicated)
        return steps.lower(state, train, self.order(0), self.key, self.numbers)

    def evaluate(self, state: TrainState, split: Split) -> Evaluation | None:
        """Evaluate every image of ``split`` once; None without images."""
        if len(split) == 0:
            return None
        programs, task = self.programs, TASKS[self.config.task]
        pixels, batch_size = self.pixels(split), programs.eval_batch_size
        return evaluate(task, programs.eval_step, state, pixels, batch_size, self.replicated)


def prepare(
    config: Config, progress: ImageProgress = no_image_progress, shared: SharedWork | None = None
) -> TrainingSetup:
    """Load the images and compute the initial state, writing nothing; what ``shared`` has is not loaded or compiled again.

    Raises:
        UserError: images that can't be found, a batch larger than the training set, strides larger than the map.
    """
    shared = shared or SharedWork()
    images = shared.images(config.data, progress)
    programs = shared.programs(config, images.dataset)
    seed, numbers = jax.device_put((np.uint32(config.seed), step_numbers(config.optimizer)), programs.replicated)
    key = programs.key(seed)
    return TrainingSetup(
        config=config,
        images=images,
        programs=programs,
        plan=_plan(config, images.dataset, programs),
        initial=programs.initial(key),
        schedule=learning_rate_schedule(config.optimizer, programs.steps_per_epoch, programs.total_steps),
        key=key,
        numbers=numbers,
    )


def _dense_part(config: ModelConfig) -> str:
    """Return in words what makes a classifier of pixels of the net; nothing for a classifier of images."""
    if config.decoder is None:
        return ""
    dilated = "" if config.output_stride is None else f", output stride {config.output_stride} by dilation"
    return f"{dilated}, {config.decoder} decoder"


def _plan(config: Config, dataset: Dataset, programs: RunPrograms) -> Plan:
    stem = config.model.stem
    return Plan(
        model=f"{programs.title}, {stem.kernel}x{stem.kernel}/{stem.stride} stem, "
        f"widths {'/'.join(map(str, config.model.widths))}, {config.model.downsample}{_dense_part(config.model)}",
        params=programs.params,
        macs=programs.macs,
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
        steps=programs.total_steps,
        batch_size=config.batch_size,
        seed=config.seed,
        config_fingerprint=config.fingerprint,
    )
