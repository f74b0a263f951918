"""Learning-rate schedules and optimizers, from optax, and the moving average of weights."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from strideflax.config import OptimizerConfig


def learning_rate_schedule(config: OptimizerConfig, steps_per_epoch: int, total_steps: int) -> optax.Schedule:
    """Return step -> learning rate: linear warm-up to the peak, then the configured way down.

    * ``one_cycle``: linear from the peak to 0 (Smith and Topin 2018, its two linear legs).
    * ``cosine``: half a cosine from the peak to 0 (Loshchilov and Hutter 2017).
    * ``constant``: the peak.
    """
    warmup_steps = min(round(config.warmup_epochs * steps_per_epoch), total_steps)
    rest = max(total_steps - warmup_steps, 1)
    peak = config.learning_rate
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


def make_optimizer(config: OptimizerConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Return clipping, then Nesterov momentum or Adam, then decoupled weight decay, times the learning rate.

    Decoupled: each step takes ``learning_rate * weight_decay * w`` off, outside the momentum (Loshchilov and Hutter 2019).
    For SGD that equals an L2 term of ``weight_decay * (1 - momentum)`` once the momentum has settled.
    """
    direction = {
        "sgd": optax.trace(decay=config.momentum, nesterov=True),
        "adamw": optax.scale_by_adam(b1=config.momentum),
    }[config.name]
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm is not None else optax.identity()
    decay = optax.add_decayed_weights(config.weight_decay, mask=decay_mask)
    return optax.chain(clip, direction, decay, optax.scale_by_learning_rate(schedule))
