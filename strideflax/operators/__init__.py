"""Downsampling operators and the ways back up: functions of arrays and Flax NNX modules, and the arithmetic of their shapes.

* `geometry`: from padding rules to one explicit `Window`; `receptive_field`: what passes of windows see and cost.
* `conv`, `pool`, `blur`, ...: one family of operators per file, functions first, then modules.
* `base`: what the modules that downsample agree on, `upsample` those that upsample; `table`: the operators by name.
"""

from strideflax.operators.ada_pool import AdaPool
from strideflax.operators.base import Downsample
from strideflax.operators.blur import BlurPool, MaxBlur
from strideflax.operators.blur_up import BlurUpsample
from strideflax.operators.composed import BlurProjection, ConvBlur, MeanProjection, ResNetD
from strideflax.operators.interpolate import LinearUpsample, NearestUpsample
from strideflax.operators.mixed import GatedPool, MaxAvg, MixedPool
from strideflax.operators.norm import GeMPool, L2Pool
from strideflax.operators.pixel_adaptive import PASA
from strideflax.operators.polyphase import AdaptivePolyphase, LearnedPolyphase, Polyphase
from strideflax.operators.polyphase_up import PolyphaseUpsample
from strideflax.operators.pool import AvgPool, MaxPool
from strideflax.operators.rearrange import HaarAll, HaarLow, SpaceToDepth
from strideflax.operators.rearrange_up import DepthToSpace
from strideflax.operators.resize import Resize
from strideflax.operators.soft_polyphase import TIPS
from strideflax.operators.spectral import ASAP, DiffStride, SpectralPool
from strideflax.operators.spectral_up import SpectralUpsample
from strideflax.operators.strided import ConvPool, StridedConv, Subsample
from strideflax.operators.table import DOWNSAMPLERS, UPSAMPLERS, Operator, downsampler, upsampler, way_back
from strideflax.operators.transposed import TransposedConv
from strideflax.operators.upsample import Upsample
from strideflax.operators.wavelet import Bior33Low, Db2All, Db2Low
from strideflax.operators.wavelet_up import Db2Upsample, HaarUpsample
from strideflax.operators.weighted import LIP, SoftPool, StochasticPool

__all__ = [
    "ASAP",
    "DOWNSAMPLERS",
    "LIP",
    "PASA",
    "TIPS",
    "UPSAMPLERS",
    "AdaPool",
    "AdaptivePolyphase",
    "AvgPool",
    "Bior33Low",
    "BlurPool",
    "BlurProjection",
    "BlurUpsample",
    "ConvBlur",
    "ConvPool",
    "Db2All",
    "Db2Low",
    "Db2Upsample",
    "DepthToSpace",
    "DiffStride",
    "Downsample",
    "GatedPool",
    "GeMPool",
    "HaarAll",
    "HaarLow",
    "HaarUpsample",
    "L2Pool",
    "LearnedPolyphase",
    "LinearUpsample",
    "MaxAvg",
    "MaxBlur",
    "MaxPool",
    "MeanProjection",
    "MixedPool",
    "NearestUpsample",
    "Operator",
    "Polyphase",
    "PolyphaseUpsample",
    "ResNetD",
    "Resize",
    "SoftPool",
    "SpaceToDepth",
    "SpectralPool",
    "SpectralUpsample",
    "StochasticPool",
    "StridedConv",
    "Subsample",
    "TransposedConv",
    "Upsample",
    "downsampler",
    "upsampler",
    "way_back",
]
