"""The networks under study, each with one injected downsampling operator: a mini-ResNet and a ResNet-9; and their BatchNorm."""

from strideflax.model.batch_norm import BatchNorm
from strideflax.model.config import ModelConfig, StemConfig
from strideflax.model.networks import NETWORKS, abstract_model, make_model
from strideflax.model.resnet import Block, MiniResNet, Reduction, check_strides
from strideflax.model.resnet9 import ResNet9, Transition

__all__ = [
    "NETWORKS",
    "BatchNorm",
    "Block",
    "MiniResNet",
    "ModelConfig",
    "Reduction",
    "ResNet9",
    "StemConfig",
    "Transition",
    "abstract_model",
    "check_strides",
    "make_model",
]
