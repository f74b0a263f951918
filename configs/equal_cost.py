"""What is left of a gain at the stride's cost? Pools and the blur before the convolution, which then sees the small map.

strideflax sweep --config configs/equal_cost.py --out runs/equal_cost

Behind the convolution, as in `ablation.py`, they cost one and a half times the strided network's multiply-adds. The runs of
`configs/equal_cost.py:narrow` come with the library.
"""

from configs.baseline import baseline

OPERATORS = ("blur_pool", "avg_pool", "max_pool")


def get_config(arg=None):
    """Return the baseline without random crops: half of `ablation.py`."""
    config = baseline(arg)
    config.augment.crop = 0
    return config


def sweep(arg=None):
    """Yield the strided convolution and the operators, before the convolution, for five seeds."""
    for seed in range(5):
        yield {"model.downsample": "strided_conv", "seed": seed}
        for operator in OPERATORS:
            yield {"model.downsample": operator, "model.placement": "before", "seed": seed}
