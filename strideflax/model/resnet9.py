"""ResNet-9: three convolutions that downsample, residual blocks between them, and a classifier of the largest values."""

from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jax import Array

from strideflax.model.config import ModelConfig, StageStep
from strideflax.model.resnet import Block, Downsampling, MiniResNet, NamedStreams, Reduction
from strideflax.operators.strided import StridedConv
from strideflax.operators.table import downsampler

LOGIT_SCALE = 0.125  # keeps the logits small in the first steps, at a high learning rate


class Transition(nnx.Module):
    """What a stage of `ResNet9` begins with: a 3 x 3 convolution, BatchNorm and ReLU that downsample, with no shortcut."""

    def __init__(
        self, config: ModelConfig, in_features: int, out_features: int, *, step: StageStep, streams: NamedStreams
    ):
        self.name = streams.prefix.strip("/")  # e.g. "stage2/down"
        self.reduction = Reduction(
            config,
            in_features,
            out_features,
            down=Downsampling(
                operator=downsampler(config.downsample) if max(step.stride) > 1 else StridedConv,
                stride=step.stride,
                placement=config.placement,
                window=config.window,
                taps=config.taps,
            ),
            kernel_size=3,
            relu=True,
            streams=streams.within("reduction"),
        )
        self.out_features = self.reduction.out_features

    @property
    def main_path(self) -> list[Any]:
        """All its layers."""
        return list(self.reduction.layers)

    def with_phase(self, x: Array, *, train: bool, key: Array | None) -> tuple[Array, Array | None]:
        """Return the output and the phases that an adaptive operator chose, None for all others."""
        return self.reduction(x, train=train, key=key)


class ResNet9(MiniResNet):
    """The network of the fast recipes for CIFAR-10, with one injected downsampling operator.

    With a 3 x 3 stem of 64 channels at stride 1, widths 128, 256 and 512, strides of 2 and 1, 0 and 1 residual blocks it has
    eight convolutions and a linear layer, and with ``max_pool`` after the convolutions it is the net of Page (2018, "How to
    train your ResNet", and the DAWNBench entry), except that a residual block ends with ReLU here. Arguments as of
    `MiniResNet`.
    """

    title: ClassVar[str] = "ResNet-9"
    global_pool: ClassVar[str] = "max"

    def _stage(
        self, config: ModelConfig, stage: int, features: int, step: StageStep, streams: NamedStreams
    ) -> list[nnx.Module]:
        width = config.widths[stage]
        first = Transition(config, features, width, step=step, streams=streams.within("down"))
        blocks: list[nnx.Module] = [first]
        features, step = first.out_features, step.after_first()
        for number in range(config.blocks[stage]):
            blocks.append(Block(config, features, width, step=step, streams=streams.within(f"block{number + 1}")))
            features = width
        return blocks

    def _classify(self, x: Array) -> Array:
        return self.head(x.max((1, 2)).astype(jnp.float32)) * LOGIT_SCALE
