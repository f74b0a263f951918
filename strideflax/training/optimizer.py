"""Learning-rate schedules and optimizers, from optax, and the moving average of weights."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.typing import ArrayLike

from strideflax.config import OptimizerConfig


class StepNumbers(NamedTuple):
    """The numbers of an optimizer that a compiled step takes as arguments, float32, so that a search over them compiles once.

    Attributes:
        learning_rate: the peak.
        momentum: of SGD. Adam's, from which optax derives others, is compiled in: None.
        weight_decay: times the learning rate; None is no decay, which is another program.
    """

    learning_rate: ArrayLike
    momentum: ArrayLike | None
    weight_decay: ArrayLike | None


def step_numbers(config: OptimizerConfig) -> StepNumbers:
    """Return the numbers in ``config`` that are arguments of a step."""
    return StepNumbers(
        learning_rate=np.float32(config.learning_rate),
        momentum=np.float32(config.momentum) if config.name == "sgd" else None,
        weight_decay=np.float32(config.weight_decay) if config.weight_decay else None,
    )


def without_numbers(config: OptimizerConfig) -> OptimizerConfig:
    """Return what is left of ``config`` in a compiled step: the same for all that share it."""
    return replace(
        config,
        learning_rate=1.0,
        momentum=0.0 if config.name == "sgd" else config.momentum,
        weight_decay=1.0 if config.weight_decay else 0.0,
    )


def learning_rate_schedule(
    config: OptimizerConfig, steps_per_epoch: int, total_steps: int, peak: ArrayLike | None = None
) -> optax.Schedule:
    """Return step -> learning rate: linear warm-up to the peak, then the configured way down.

    ``peak`` stands for that of ``config`` where it is an argument of a program.

    * ``one_cycle``: linear from the peak to 0 (Smith and Topin 2018, its two linear legs).
    * ``cosine``: half a cosine from the peak to 0 (Loshchilov and Hutter 2017).
    * ``constant``: the peak.
    """
    warmup_steps = min(round(config.warmup_epochs * steps_per_epoch), total_steps)
    rest = max(total_steps - warmup_steps, 1)
    peak = config.learning_rate if peak is None else peak
    after = {
        "one_cycle": optax.linear_schedule(peak, 0.0, rest),
        "cosine": optax.cosine_decay_schedule(peak, rest),
        "constant": optax.constant_schedule(peak),
    }[config.schedule]
    if warmup_steps == 0:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup_steps), after], [warmup_steps])


def decay_mask(params: optax.Params) -> optax.Params:
    """Return which parameters decay: those called ``kernel``; not biases, BatchNorm or an operator's own parameters."""
    return jax.tree_util.tree_map_with_path(lambda path, _: any(_name(part) == "kernel" for part in path), params)


def _name(part: Any) -> Any:
    """Return a tree path entry's name, of a dict's key or of an attribute."""
    return getattr(part, "key", getattr(part, "name", None))


def moving_average(average: Any, values: Any, step: Array, decay: float) -> Any:
    """Return the tree ``average`` moved towards ``values``: ``average + (1 - kept) * (values - average)``.

    ``kept`` is ``min(decay, step / (step + 1))``: the plain mean of all that came so far until that is the longer memory, so
    that what ``average`` is before step 0 counts nothing.

    Args:
        average, values: trees of arrays alike.
        step: steps done before this one, int32.
        decay: share that is kept in the long run.
    """
    kept = jnp.minimum(decay, step / (step + 1))
    return jax.tree.map(lambda before, now: before + (1 - kept) * (now - before), average, values)


def make_optimizer(
    config: OptimizerConfig, schedule: optax.Schedule, numbers: StepNumbers | None = None
) -> optax.GradientTransformation:
    """Return clipping, then Nesterov momentum or Adam, then decoupled weight decay, times the learning rate.

    ``numbers`` stand for those of ``config`` where they are arguments of a program.

    Decoupled: each step takes ``learning_rate * weight_decay * w`` off, outside the momentum (Loshchilov and Hutter 2019).
    For SGD that equals an L2 term of ``weight_decay * (1 - momentum)`` once the momentum has settled.
    """
    numbers = numbers or step_numbers(config)
    if numbers.momentum is not None:
        direction = optax.trace(decay=numbers.momentum, nesterov=True)
    else:
        direction = optax.scale_by_adam(b1=config.momentum)
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm is not None else optax.identity()
    weight_decay = 0.0 if numbers.weight_decay is None else numbers.weight_decay
    decay = optax.add_decayed_weights(weight_decay, mask=decay_mask)
    return optax.chain(clip, direction, decay, optax.scale_by_learning_rate(schedule))
