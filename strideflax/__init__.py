"""strideflax: downsample by stride or by pooling? Operators, a model, measurements and statistics for JAX and Flax."""

import importlib
from types import ModuleType

from strideflax.kernels.implementation import use_implementation
from strideflax.operators.blur import blur_pool
from strideflax.operators.conv import conv
from strideflax.operators.geometry import output_size
from strideflax.operators.mixed import gated_pool, max_avg_pool, mixed_pool
from strideflax.operators.norm import generalized_mean_pool, lp_pool
from strideflax.operators.polyphase import adaptive_polyphase, polyphase_index, polyphase_sample
from strideflax.operators.pool import avg_pool, max_pool
from strideflax.operators.rearrange import depth_to_space, haar_all, haar_low, space_to_depth
from strideflax.operators.resize import resize_pool
from strideflax.operators.spectral import diff_stride, spectral_pool
from strideflax.operators.table import DOWNSAMPLERS, downsampler
from strideflax.operators.weighted import local_importance_pool, soft_pool, stochastic_pool

__all__ = [
    "DOWNSAMPLERS",
    "adaptive_polyphase",
    "avg_pool",
    "blur_pool",
    "conv",
    "depth_to_space",
    "diff_stride",
    "downsampler",
    "gated_pool",
    "generalized_mean_pool",
    "haar_all",
    "haar_low",
    "local_importance_pool",
    "lp_pool",
    "max_avg_pool",
    "max_pool",
    "mixed_pool",
    "output_size",
    "polyphase_index",
    "polyphase_sample",
    "resize_pool",
    "soft_pool",
    "space_to_depth",
    "spectral_pool",
    "stochastic_pool",
    "use_implementation",
]


def __getattr__(name: str) -> ModuleType:
    """Import ``strideflax.claims``, ``results`` and ``statistics`` when asked for, as pandas takes a while to import."""
    if name == "matching":
        return importlib.import_module("strideflax.matching")
    if name in ("claims", "results", "statistics"):
        return importlib.import_module(f"strideflax.analysis.{name}")
    raise AttributeError(f"module 'strideflax' has no attribute {name!r}")
