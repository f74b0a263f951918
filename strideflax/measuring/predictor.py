"""From a trained model to plain functions of its images, which are all that a measure needs of it."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.tree_util import Partial

from strideflax.data import normalize
from strideflax.measuring.batches import in_evaluation


def predictor(model: nnx.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> Partial:
    """Return the function images -> logits of a model that was trained on normalised images.

    The weights are leaves of the returned pytree. A jitted function that takes it compiles once for all models of one
    architecture. The model is taken as it is in evaluation, whatever it is in.

    Args:
        model: maps float32 ``[batch, height, width, channels]`` to logits ``[batch, classes]``.
        mean, std: per channel, of the training pixels / 255.

    Returns:
        A function of uint8 ``[batch, height, width, channels]``. It raises ValueError for images of another type or
        another number of channels, which would be normalised wrongly.
    """
    graph, state = nnx.split(in_evaluation(model))

    def predict(state: Any, images: Array) -> Array:
        return nnx.merge(graph, state)(normalize(images, mean, std))

    return Partial(predict, state)


def feature_function(model: Any, mean: tuple[float, ...], std: tuple[float, ...]) -> Partial:
    """Return the function images -> last feature map of ``model``, float32 ``[batch, rows, columns, features]``.

    As `predictor`; the model has a method ``features``, as `strideflax.model.MiniResNet` does.
    """
    graph, state = nnx.split(in_evaluation(model))

    def features(state: Any, images: Array) -> Array:
        x = normalize(images, mean, std)
        return nnx.merge(graph, state).features(x).astype(jnp.float32)

    return Partial(features, state)
