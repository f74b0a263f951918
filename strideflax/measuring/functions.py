"""From a model to plain functions of uint8 images, and the batches that feed them."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.tree_util import Partial

from strideflax.data.augment import normalize

ImageFunction: TypeAlias = Callable[[Array], Array]  # images uint8 [batch, height, width, channels] -> [batch, ...]
Progress: TypeAlias = Callable[[int, int], None]  # called with (done, total) units of work


def ignore(done: int, total: int) -> None:
    """Take a report of progress and do nothing."""


def predictor(model: nnx.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> Partial:
    """Return images uint8 -> logits of ``model``; ``mean`` and ``std`` are those it was trained with.

    The weights are arguments of the returned pytree and not constants of a compiled program.
    """
    graph, state = nnx.split(model)

    def predict(state: Any, images: Array) -> Array:
        return nnx.merge(graph, state)(normalize(images, mean, std))

    return Partial(predict, state)


def feature_function(model: Any, mean: tuple[float, ...], std: tuple[float, ...]) -> Partial:
    """Return images uint8 -> the last feature map of ``model``, float32."""
    graph, state = nnx.split(model)

    def features(state: Any, images: Array) -> Array:
        return nnx.merge(graph, state).features(normalize(images, mean, std)).astype(jnp.float32)

    return Partial(features, state)


def as_argument(function: ImageFunction) -> Partial:
    """Return ``function`` as a pytree that a jitted function can take."""
    return function if isinstance(function, Partial) else Partial(function)


@jax.jit
def _apply(function: Partial, images: Array) -> Array:
    return function(images)


def in_batches(
    function: ImageFunction, images: np.ndarray, *, batch_size: int = 250, progress: Progress = ignore
) -> np.ndarray:
    """Return ``function`` of all images; compiled for one batch size, the last batch is filled up and cut."""
    function, count = as_argument(function), len(images)
    batch_size = min(batch_size, count)
    outputs = []
    for start in range(0, count, batch_size):
        batch = filled(images[start : start + batch_size], batch_size)
        outputs.append(np.asarray(_apply(function, batch))[: count - start])
        progress(min(start + batch_size, count), count)
    return np.concatenate(outputs)


def filled(batch: np.ndarray, size: int) -> np.ndarray:
    """Return ``batch`` with copies of its first image appended up to ``size``."""
    return batch if len(batch) == size else np.concatenate([batch, np.repeat(batch[:1], size - len(batch), 0)])
