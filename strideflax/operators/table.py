"""The table of downsampling operators. A new operator adds one file and one line here."""

from strideflax.operators.base import Downsample
from strideflax.operators.blur import BlurPool, MaxBlur
from strideflax.operators.composed import ConvBlur, ResNetD
from strideflax.operators.mixed import GatedPool, MaxAvg, MixedPool
from strideflax.operators.norm import GeMPool, L2Pool
from strideflax.operators.polyphase import AdaptivePolyphase, LearnedPolyphase
from strideflax.operators.pool import AvgPool, MaxPool
from strideflax.operators.rearrange import HaarAll, HaarLow, SpaceToDepth
from strideflax.operators.resize import Resize
from strideflax.operators.spectral import DiffStride, SpectralPool
from strideflax.operators.strided import ConvPool, StridedConv, Subsample
from strideflax.operators.weighted import LIP, SoftPool, StochasticPool

DOWNSAMPLERS: dict[str, type[Downsample]] = {
    "strided_conv": StridedConv,
    "subsample": Subsample,
    "max_pool": MaxPool,
    "avg_pool": AvgPool,
    "conv_pool": ConvPool,
    "blur_pool": BlurPool,
    "max_blur": MaxBlur,
    "conv_blur": ConvBlur,
    "resnet_d": ResNetD,
    "l2_pool": L2Pool,
    "gem_pool": GeMPool,
    "max_avg": MaxAvg,
    "mixed_pool": MixedPool,
    "gated_pool": GatedPool,
    "soft_pool": SoftPool,
    "stochastic_pool": StochasticPool,
    "lip": LIP,
    "resize": Resize,
    "spectral_pool": SpectralPool,
    "diff_stride": DiffStride,
    "aps": AdaptivePolyphase,
    "lps": LearnedPolyphase,
    "space_to_depth": SpaceToDepth,
    "haar_low": HaarLow,
    "haar_all": HaarAll,
}


def downsampler(name: str) -> type[Downsample]:
    """Return the operator called ``name``.

    Raises:
        ValueError: there is none; the message lists all.
    """
    if name not in DOWNSAMPLERS:
        raise ValueError(f"unknown downsampling operator {name!r}; known: {', '.join(DOWNSAMPLERS)}")
    return DOWNSAMPLERS[name]
