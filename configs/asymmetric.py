"""Strides per axis on non-square inputs: 32 x 64 images whose rows and columns are downsampled alike or not.

strideflax sweep --config configs/asymmetric.py --out runs/asymmetric
"""

from configs.baseline import baseline


def get_config(arg=None):
    """Return the baseline on images stretched to twice their width."""
    config = baseline(arg)
    config.data.stretch = (1, 2)
    return config


def sweep(arg=None):
    """Yield three ways to shrink the last stage: both axes, columns alone, rows alone."""
    for seed in range(5):
        for downsample in ("strided_conv", "blur_pool"):
            for last in ((2, 2), (1, 2), (2, 1)):
                yield {"model.strides": (1, 2, last), "model.downsample": downsample, "seed": seed}
