"""The names that ``import strideflax`` offers; `strideflax` imports this module when the first of them is asked for."""

from strideflax.inspection.network import inspect
from strideflax.kernels.implementation import use_implementation
from strideflax.operators.adaptive_pool import adaptive_avg_pool, adaptive_max_pool
from strideflax.operators.blur import blur_pool, max_blur
from strideflax.operators.composed import conv_blur, resnet_d_shortcut
from strideflax.operators.conv import conv
from strideflax.operators.geometry import output_size
from strideflax.operators.interpolate import blur_upsample, linear_upsample, nearest_upsample
from strideflax.operators.mixed import gated_pool, max_avg_pool, mixed_pool
from strideflax.operators.norm import generalized_mean_pool, lp_pool
from strideflax.operators.polyphase import adaptive_polyphase, learned_polyphase, polyphase_index, polyphase_sample
from strideflax.operators.polyphase_up import polyphase_upsample
from strideflax.operators.pool import avg_pool, max_pool
from strideflax.operators.rearrange import depth_to_space, haar_all, haar_low, space_to_depth
from strideflax.operators.resize import resize_pool
from strideflax.operators.spectral import diff_stride, spectral_pool
from strideflax.operators.strided import conv_pool, subsample
from strideflax.operators.table import DOWNSAMPLERS, UPSAMPLERS, downsampler, upsampler
from strideflax.operators.transposed import conv_transpose
from strideflax.operators.weighted import local_importance_pool, soft_pool, stochastic_pool
from strideflax.surgery import downsampling_sites, replace_downsampling

__all__ = [
    "DOWNSAMPLERS",
    "UPSAMPLERS",
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "adaptive_polyphase",
    "avg_pool",
    "blur_pool",
    "blur_upsample",
    "conv",
    "conv_blur",
    "conv_pool",
    "conv_transpose",
    "depth_to_space",
    "diff_stride",
    "downsampler",
    "downsampling_sites",
    "gated_pool",
    "generalized_mean_pool",
    "haar_all",
    "haar_low",
    "inspect",
    "learned_polyphase",
    "linear_upsample",
    "local_importance_pool",
    "lp_pool",
    "max_avg_pool",
    "max_blur",
    "max_pool",
    "mixed_pool",
    "nearest_upsample",
    "output_size",
    "polyphase_index",
    "polyphase_sample",
    "polyphase_upsample",
    "replace_downsampling",
    "resize_pool",
    "resnet_d_shortcut",
    "soft_pool",
    "space_to_depth",
    "spectral_pool",
    "stochastic_pool",
    "subsample",
    "upsampler",
    "use_implementation",
]
