"""What is each operator worth? Eight operators, with and without random crops, for five paired seeds.

strideflax sweep --config configs/ablation.py --out runs/ablation

`configs/ablation.py:narrow` is for two CPU cores, `:quick` is on the embedded data set; the runs of both come with the library.
"""

from configs.baseline import baseline

OPERATORS = ("strided_conv", "blur_pool", "max_pool", "avg_pool", "conv_pool", "max_blur", "soft_pool", "resnet_d")
SEEDS = 5


def get_config(arg=None):
    """Return the baseline; every run changes it by one dict of `sweep`."""
    return baseline(arg)


def sweep(arg=None):
    """Yield the operators with and without random crops, seed by seed, so that an unfinished sweep is already paired."""
    for seed in range(SEEDS):
        for crop in (0, 4):
            for operator in OPERATORS:
                yield {"model.downsample": operator, "augment.crop": crop, "seed": seed}
