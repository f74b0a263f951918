"""The names that ``import strideflax`` offers; `strideflax` imports this module when the first of them is asked for."""

from strideflax.inspection.network import inspect
from strideflax.kernels.implementation import use_implementation
from strideflax.operators.ada_pool import ada_pool
from strideflax.operators.adaptive_pool import adaptive_avg_pool, adaptive_max_pool
from strideflax.operators.blur import blur_pool, max_blur
from strideflax.operators.blur_up import blur_upsample
from strideflax.operators.composed import conv_blur, resnet_d_shortcut
from strideflax.operators.conv import conv
from strideflax.operators.fold import blurred_conv, fold_blur, folded_macs_ratio
from strideflax.operators.geometry import output_size
from strideflax.operators.interpolate import linear_upsample, nearest_upsample
from strideflax.operators.mixed import gated_pool, max_avg_pool, mixed_pool
from strideflax.operators.norm import generalized_mean_pool, lp_pool
from strideflax.operators.pixel_adaptive import pixel_adaptive_pool
from strideflax.operators.polyphase import adaptive_polyphase, learned_polyphase, polyphase_index, polyphase_sample
from strideflax.operators.polyphase_up import polyphase_upsample
from strideflax.operators.pool import avg_pool, max_pool
from strideflax.operators.rearrange import depth_to_space, haar_all, haar_low, space_to_depth
from strideflax.operators.resize import resize_pool
from strideflax.operators.soft_polyphase import soft_polyphase
from strideflax.operators.spectral import asap_pool, diff_stride, spectral_pool
from strideflax.operators.spectral_up import spectral_upsample
from strideflax.operators.strided import conv_pool, subsample
from strideflax.operators.table import DOWNSAMPLERS, UPSAMPLERS, downsampler, upsampler, way_back
from strideflax.operators.transposed import conv_transpose
from strideflax.operators.wavelet import wavelet_all, wavelet_low
from strideflax.operators.wavelet_filters import daubechies, spline_wavelet
from strideflax.operators.wavelet_up import wavelet_upsample
from strideflax.operators.weighted import local_importance_pool, soft_pool, stochastic_pool
from strideflax.surgery import downsampling_sites, replace_downsampling

__all__ = [
    "DOWNSAMPLERS",
    "UPSAMPLERS",
    "ada_pool",
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "adaptive_polyphase",
    "asap_pool",
    "avg_pool",
    "blur_pool",
    "blur_upsample",
    "blurred_conv",
    "conv",
    "conv_blur",
    "conv_pool",
    "conv_transpose",
    "daubechies",
    "depth_to_space",
    "diff_stride",
    "downsampler",
    "downsampling_sites",
    "fold_blur",
    "folded_macs_ratio",
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
    "pixel_adaptive_pool",
    "polyphase_index",
    "polyphase_sample",
    "polyphase_upsample",
    "replace_downsampling",
    "resize_pool",
    "resnet_d_shortcut",
    "soft_polyphase",
    "soft_pool",
    "space_to_depth",
    "spectral_pool",
    "spectral_upsample",
    "spline_wavelet",
    "stochastic_pool",
    "subsample",
    "upsampler",
    "use_implementation",
    "wavelet_all",
    "wavelet_low",
    "wavelet_upsample",
    "way_back",
]
