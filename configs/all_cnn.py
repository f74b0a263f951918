"""Does a strided convolution replace a pool in a plain net? Four nets after Springenberg et al. 2015 (arXiv:1412.6806).

strideflax sweep --config configs/all_cnn.py --out runs/all_cnn

No shortcuts and, as there, no augmentation. Base: a convolution, then a max pool. Strided: the convolution takes the pool's
stride. ConvPool: one more dense convolution before the pool. All-conv: one more convolution, strided, in the pool's
place. Theirs are deeper, and their pools overlap (3 x 3 at stride 2); these pool over 2 x 2.
"""

from configs.baseline import baseline

NETS = (("max_pool", "before"), ("strided_conv", "after"), ("conv_pool", "added"), ("strided_conv", "added"))


def get_config(arg=None):
    """Return the baseline without shortcuts and augmentation."""
    config = baseline(arg)
    config.model.residual = False
    config.augment.update({"crop": 0, "flip": False})
    return config


def sweep(arg=None):
    """Yield base, strided, ConvPool and all-conv for five seeds."""
    for seed in range(5):
        for downsample, placement in NETS:
            yield {"model.downsample": downsample, "model.placement": placement, "seed": seed}
