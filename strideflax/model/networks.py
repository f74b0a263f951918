"""The networks by the names that ``config.model.network`` may have, and how one is made."""

import jax
from flax import nnx
from jax import Array

from strideflax.errors import ConfigError
from strideflax.model.config import ModelConfig
from strideflax.model.resnet import MiniResNet
from strideflax.model.resnet9 import ResNet9

NETWORKS: dict[str, type[MiniResNet]] = {"mini_resnet": MiniResNet, "resnet9": ResNet9}


def make_model(config: ModelConfig, *, classes: int = 10, key: Array, in_features: int = 3) -> MiniResNet:
    """Return the network that ``config`` names. Arguments as of `MiniResNet`."""
    return NETWORKS[config.network](config, classes=classes, key=key, in_features=in_features)


def abstract_model(config: ModelConfig, *, classes: int = 10, in_features: int = 3) -> MiniResNet:
    """Return the model with shapes in place of weights: nothing is computed. Arguments as of `MiniResNet`.

    Raises:
        ConfigError: a stride, window or padding that the operator does not have.
    """
    try:
        return nnx.eval_shape(
            lambda: make_model(config, classes=classes, key=jax.random.key(0), in_features=in_features)
        )
    except ValueError as error:
        raise ConfigError(f"config.model: {error}") from None
