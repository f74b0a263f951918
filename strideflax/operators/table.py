"""The tables of operators: what each that downsamples is on a block's main path and on its shortcut, and the ways back up.

A new operator adds one file and one line here.
"""

from dataclasses import dataclass

from strideflax.operators.base import Downsample
from strideflax.operators.blur import BlurPool, MaxBlur
from strideflax.operators.composed import BlurProjection, ConvBlur, MeanProjection, ResNetD
from strideflax.operators.interpolate import BlurUpsample, LinearUpsample, NearestUpsample
from strideflax.operators.mixed import GatedPool, MaxAvg, MixedPool
from strideflax.operators.norm import GeMPool, L2Pool
from strideflax.operators.polyphase import AdaptivePolyphase, LearnedPolyphase, Polyphase
from strideflax.operators.polyphase_up import PolyphaseUpsample
from strideflax.operators.pool import AvgPool, MaxPool
from strideflax.operators.rearrange import HaarAll, HaarLow, SpaceToDepth
from strideflax.operators.resize import Resize
from strideflax.operators.spectral import DiffStride, SpectralPool
from strideflax.operators.strided import ConvPool, StridedConv, Subsample
from strideflax.operators.transposed import TransposedConv
from strideflax.operators.upsample import Upsample
from strideflax.operators.weighted import LIP, SoftPool, StochasticPool


@dataclass(frozen=True)
class Operator:
    """An operator's entry in the table.

    Attributes:
        main: the module on a block's main path, and what `downsampler` returns.
        shortcut: the module on the shortcut where it is another one; None: `main`.
    """

    main: type[Downsample]
    shortcut: type[Downsample] | None = None

    @property
    def on_shortcut(self) -> type[Downsample]:
        """The module on the shortcut."""
        return self.shortcut or self.main


DOWNSAMPLERS: dict[str, Operator] = {
    "strided_conv": Operator(StridedConv),
    "subsample": Operator(Subsample),
    "max_pool": Operator(MaxPool),
    "avg_pool": Operator(AvgPool),
    "conv_pool": Operator(ConvPool),
    "blur_pool": Operator(BlurPool),
    "max_blur": Operator(MaxBlur),
    "conv_blur": Operator(ConvBlur, shortcut=BlurProjection),
    "resnet_d": Operator(ResNetD, shortcut=MeanProjection),
    "l2_pool": Operator(L2Pool),
    "gem_pool": Operator(GeMPool),
    "max_avg": Operator(MaxAvg),
    "mixed_pool": Operator(MixedPool),
    "gated_pool": Operator(GatedPool),
    "soft_pool": Operator(SoftPool),
    "stochastic_pool": Operator(StochasticPool),
    "lip": Operator(LIP),
    "resize": Operator(Resize),
    "spectral_pool": Operator(SpectralPool),
    "diff_stride": Operator(DiffStride),
    "aps": Operator(AdaptivePolyphase, shortcut=Polyphase),  # takes the phase that the main path chose
    "lps": Operator(LearnedPolyphase, shortcut=Polyphase),
    "space_to_depth": Operator(SpaceToDepth),
    "haar_low": Operator(HaarLow),
    "haar_all": Operator(HaarAll),
}

UPSAMPLERS: dict[str, type[Upsample]] = {
    "nearest": NearestUpsample,
    "linear": LinearUpsample,
    "blur": BlurUpsample,
    "transposed_conv": TransposedConv,
    "polyphase": PolyphaseUpsample,
}


def operator_entry(name: str) -> Operator:
    """Return the entry of the operator called ``name``.

    Raises:
        ValueError: there is none; the message lists all.
    """
    if name not in DOWNSAMPLERS:
        raise ValueError(f"unknown downsampling operator {name!r}; known: {', '.join(DOWNSAMPLERS)}")
    return DOWNSAMPLERS[name]


def downsampler(name: str) -> type[Downsample]:
    """Return the module class of the operator called ``name``: what stands on a block's main path.

    Raises:
        ValueError: there is none; the message lists all.
    """
    return operator_entry(name).main


def upsampler(name: str) -> type[Upsample]:
    """Return the module class of the upsampling operator called ``name``.

    Raises:
        ValueError: there is none; the message lists all.
    """
    if name not in UPSAMPLERS:
        raise ValueError(f"unknown upsampling operator {name!r}; known: {', '.join(UPSAMPLERS)}")
    return UPSAMPLERS[name]
