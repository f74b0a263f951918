"""One step of training and one of evaluation, as pure functions of plain pytrees that the loop compiles once."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from strideflax.config import Config, ConfigError
from strideflax.data.augment import alternating_flips, normalize
from strideflax.model import MiniResNet, abstract_model, make_model
from strideflax.tasks import TASKS, Evaluation, Task
from strideflax.training.optimizer import moving_average

# One random stream for each purpose, so that changing one (an operator's, say) leaves the others as they are.
INIT_STREAM, ORDER_STREAM, AUGMENT_STREAM, OPERATOR_STREAM, FLIP_STREAM = range(5)


class Averaged(NamedTuple):
    """An optimizer's state, and the moving averages of parameters and statistics beside it, see `OptimizerConfig`."""

    optimizer: Any
    params: Any
    stats: Any


class TrainState(NamedTuple):
    """All that changes during training.

    Attributes:
        params: learned parameters.
        stats: BatchNorm's running statistics.
        opt_state: optax's state, or `Averaged`: without averages a checkpoint is what it was before there were any.
        step: steps done, int32.
        loss_sum, correct_sum: totals over the epoch so far, float32; the loss is a sum over steps of batch means.
    """

    params: Any
    stats: Any
    opt_state: Any
    step: Array
    loss_sum: Array
    correct_sum: Array

    @property
    def evaluated(self) -> tuple[Any, Any]:
        """The parameters and statistics to evaluate: their averages if there are any."""
        holder = self.opt_state if isinstance(self.opt_state, Averaged) else self
        return holder.params, holder.stats


class Pixels(NamedTuple):
    """A split on the devices: images uint8 ``[n, height, width, channels]``, and a label for each or a mask, as in `Split`."""

    images: Array
    labels: Array


TrainStep = Callable[[TrainState, Pixels, Array, Array], TrainState]
EvalStep = Callable[[Any, Any, Pixels, ArrayLike], Any]


def model_structure(config: Config, *, classes: int = 10, in_features: int = 3) -> nnx.GraphDef:
    """Return the model's structure, without computing any weights."""
    return split_model(abstract_model(config.model, classes=classes, in_features=in_features))[0]


def split_model(model: MiniResNet) -> tuple[nnx.GraphDef, Any, Any]:
    """Return the model's structure, its parameters and its statistics."""
    graph, *states = nnx.split(model, nnx.Param, ...)
    params, stats = states
    return graph, params, stats


def initial_state(
    config: Config, optimizer: optax.GradientTransformation, key: Array, classes: int = 10, in_features: int = 3
) -> TrainState:
    """Return the state before the first step, from the root ``key``."""
    model = make_model(config.model, classes=classes, key=jax.random.fold_in(key, INIT_STREAM), in_features=in_features)
    _, params, stats = split_model(model)
    opt_state: Any = optimizer.init(params)
    if config.optimizer.average_decay is not None:
        opt_state = Averaged(opt_state, *jax.tree.map(jnp.zeros_like, (params, stats)))
    zero = jnp.zeros((), jnp.float32)
    return TrainState(params, stats, opt_state, jnp.zeros((), jnp.int32), zero, zero)


def epoch_order(key: Array, epoch: int, count: int) -> Array:
    """Return the order of the training images in ``epoch``: the same for every operator and however often resumed."""
    return jax.random.permutation(jax.random.fold_in(jax.random.fold_in(key, ORDER_STREAM), epoch), count)


def make_train_step(
    config: Config,
    graph: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    sharding: NamedSharding | None = None,
) -> TrainStep:
    """Return ``step(state, train, order, key) -> state``.

    The step takes the next ``batch_size`` images of ``order``, augments them with keys folded by step, and moves the
    parameters. Everything random comes from ``key``, an argument, so one compiled program serves every seed.

    Args:
        config: the run's configuration.
        graph: the model's structure.
        optimizer: an optax transformation.
        mean, std: of the training pixels, per channel.
        sharding: how to lay a batch over the devices; None on one device.
    """
    size, task, decay = config.batch_size, TASKS[config.task], config.optimizer.average_decay

    def loss_of(params: Any, stats: Any, images: Array, labels: Array, key: Array) -> tuple[Array, tuple[Any, Array]]:
        model = nnx.merge(graph, params, stats, copy=True)
        logits = model(images, train=True, key=key)
        _, _, stats = split_model(model)
        loss, accuracy = task.loss(logits, labels, config.optimizer.label_smoothing)
        return loss, (stats, accuracy)

    def step(state: TrainState, train: Pixels, order: Array, key: Array) -> TrainState:
        steps_per_epoch = order.size // size
        batch = jax.lax.dynamic_slice(order, ((state.step % steps_per_epoch) * size,), (size,))
        if sharding is not None:
            batch = jax.lax.with_sharding_constraint(batch, sharding)
        augment_key = jax.random.fold_in(jax.random.fold_in(key, AUGMENT_STREAM), state.step)
        operator_key = jax.random.fold_in(jax.random.fold_in(key, OPERATOR_STREAM), state.step)
        mirrored = None
        if config.augment.alternate_flips:
            mirrored = alternating_flips(jax.random.fold_in(key, FLIP_STREAM), batch, state.step // steps_per_epoch)
        images, labels = task.augment(train.images[batch], train.labels[batch], augment_key, config.augment, mirrored)
        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (stats, accuracy)), grads = gradient(
            state.params, state.stats, normalize(images, mean, std), labels, operator_key
        )
        before = state.opt_state if decay is None else state.opt_state.optimizer
        updates, opt_state = optimizer.update(grads, before, state.params)
        params = optax.apply_updates(state.params, updates)
        if decay is not None:
            opt_state = Averaged(opt_state, *moving_average(state.evaluated, (params, stats), state.step, decay))
        return TrainState(
            params=params,
            stats=stats,
            opt_state=opt_state,
            step=state.step + 1,
            loss_sum=state.loss_sum + loss,
            correct_sum=state.correct_sum + accuracy * size,
        )

    return step


def repeat_step(step: Callable[..., TrainState], count: int) -> Callable[..., TrainState]:
    """Return a function that does ``count`` steps; they must lie in one epoch, whose order it gets."""
    if count == 1:
        return step

    def steps(state: TrainState, *arguments: Any) -> TrainState:
        return jax.lax.fori_loop(0, count, lambda _, state: step(state, *arguments), state)

    return steps


def make_eval_step(
    task: Task,
    graph: nnx.GraphDef,
    batch_size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    sharding: NamedSharding | None = None,
) -> EvalStep:
    """Return ``step(params, stats, split, start)``, the task's totals over the images ``start ... start + batch_size``.

    Places past the end count nothing, so every image counts once whatever the batch size.
    """

    def step(params: Any, stats: Any, split: Pixels, start: ArrayLike) -> Any:
        place = start + jnp.arange(batch_size)
        if sharding is not None:
            place = jax.lax.with_sharding_constraint(place, sharding)
        real = jnp.asarray(place < len(split.labels))
        place = jnp.minimum(place, len(split.labels) - 1)
        model = nnx.merge(graph, params, stats)
        logits = model(normalize(split.images[place], mean, std))
        return task.totals(logits, split.labels[place], real)

    return step


def evaluate(
    task: Task,
    eval_step: EvalStep,
    state: TrainState,
    split: Pixels,
    batch_size: int,
    replicated: NamedSharding | None = None,
) -> Evaluation:
    """Evaluate every image of ``split`` once."""
    count, (params, stats) = len(split.labels), state.evaluated
    batches = []
    for start in range(0, count, batch_size):
        batches.append(eval_step(params, stats, split, jax.device_put(np.int32(start), replicated)))
    totals = jax.device_get(batches)  # once all are on their way, so that the device never waits for Python
    return task.evaluation(totals, count)


def data_sharding(batch_size: int) -> tuple[NamedSharding | None, NamedSharding | None]:
    """Return how to lay (a batch, everything else) over all devices of all processes; (None, None) for a single device.

    Raises:
        ConfigError: the batch does not divide by the number of devices.
    """
    count = jax.device_count()
    if count == 1:
        return None, None
    if batch_size % count:
        raise ConfigError(f"config.batch_size must be divisible by the number of devices ({count}), got {batch_size}")
    mesh = jax.make_mesh((count,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec("batch")), NamedSharding(mesh, PartitionSpec())
