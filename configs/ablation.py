"""The study: operators x crop augmentation x paired seeds.

python -m strideflax sweep --config configs/ablation.py --out runs/ablation

`configs/ablation.py:narrow` is the same with half the width and 8 epochs, for CPUs; `:quick` is on the embedded data set.
"""

from configs.baseline import baseline

OPERATORS = ("strided_conv", "blur_pool", "max_pool", "avg_pool", "conv_pool", "max_blur", "soft_pool", "resnet_d")
SEEDS = 5


def get_config(arg=None):
    """Return the baseline; every run changes it by one dict of `sweep`."""
    if arg != "narrow":
        return baseline(arg)
    config = baseline()
    config.model.widths = (32, 64, 128)
    config.epochs = 8.0
    config.optimizer.warmup_epochs = 2.0
    return config


def sweep(arg=None):
    """Yield the operators with and without random crops, seed by seed, so that an unfinished sweep is already paired."""
    for seed in range(SEEDS):
        for crop in (0, 4):
            for operator in OPERATORS:
                yield {"model.downsample": operator, "augment.crop": crop, "seed": seed}
