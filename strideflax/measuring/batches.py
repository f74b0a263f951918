"""A function applied to many images, one batch of a fixed size after another, so that it is compiled once."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import numpy as np
from flax import nnx
from jax import Array
from jax.tree_util import Partial

from strideflax.measuring.checks import check_count, check_function, check_images, check_result
from strideflax.programs import Program

ImageFunction: TypeAlias = Callable[[Array], Array]  # images [batch, height, width, channels] -> [batch, ...]
Progress: TypeAlias = Callable[[int, int], None]  # called with (done, total) units of work

BATCH_SIZE = 250


def no_progress(done: int, total: int) -> None:
    """Take a report of progress and show nothing."""


def as_pytree(function: ImageFunction) -> Partial:
    """Return ``function`` as a pytree, which a jitted function takes as an argument; a module's weights are leaves.

    A module is measured in evaluation; see `in_evaluation`.
    """
    check_function(function)
    function = in_evaluation(function)
    if isinstance(function, nnx.Module):
        graph, state = nnx.split(function)
        return Partial(_call_merged, graph, state)
    return function if isinstance(function, Partial) else Partial(function)


def in_evaluation(function: Any) -> Any:
    """Return a module's copy in evaluation, as by its ``.eval()``, with the same weights; any other function as it is.

    In training the answers would depend on which images share a batch, and statistics would move with them.
    """
    if not isinstance(function, nnx.Module):
        return function
    copy = nnx.merge(*nnx.split(function))
    copy.eval()
    return copy


def _call_merged(graph: Any, state: Any, images: Array) -> Array:
    return nnx.merge(graph, state)(images)


@Program
def _apply(function: Partial, images: Array) -> Array:
    return function(images)


def in_batches(
    function: ImageFunction, images: np.ndarray, *, batch_size: int = BATCH_SIZE, progress: Progress = no_progress
) -> np.ndarray:
    """Return ``function`` of all ``images``, ``[n, ...]``.

    Args:
        function: a traceable JAX function of ``[batch, height, width, channels]``.
        images: ``[n, height, width, channels]`` of the type that ``function`` takes.
        batch_size: images at once. The last batch is padded to it, and the surplus results are dropped.
        progress: told the number of images done.

    Raises:
        ValueError: no images, an array that is not four-dimensional, a batch size under 1, or a function that returns something
            else than an array with a row for each image.
    """
    check_images(images)
    check_count("batch_size", batch_size)
    function, count = as_pytree(function), len(images)
    batch_size = min(batch_size, count)
    outputs: list[np.ndarray] = []
    ahead: list[
        Array
    ] = []  # the batch before stays on the device until the next is on its way: it never waits for Python

    def fetch() -> None:
        outputs.append(np.asarray(ahead.pop()))
        progress(min(len(outputs) * batch_size, count), count)

    for start in range(0, count, batch_size):
        batch = pad_batch(images[start : start + batch_size], batch_size)
        result = _apply(function, jax.device_put(batch))
        check_result(result, batch_size)
        if ahead:
            fetch()
        ahead.append(result)
    fetch()
    return np.concatenate(outputs)[:count]


def pad_batch(batch: np.ndarray, size: int) -> np.ndarray:
    """Return ``batch`` with copies of its first image appended up to ``size`` images."""
    missing = size - len(batch)
    if missing == 0:
        return batch
    return np.concatenate([batch, np.repeat(batch[:1], missing, axis=0)])
