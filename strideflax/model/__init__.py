"""The network under study: a mini-ResNet with one injected downsampling operator, and its BatchNorm."""

from strideflax.model.batch_norm import BatchNorm
from strideflax.model.config import ModelConfig, StemConfig
from strideflax.model.resnet import Block, MiniResNet, Reduction, abstract_model, check_strides

__all__ = [
    "BatchNorm",
    "Block",
    "MiniResNet",
    "ModelConfig",
    "Reduction",
    "StemConfig",
    "abstract_model",
    "check_strides",
]
