"""Does an operator still gain where the net is good? ResNet-9, twelve operators, ten seeds, the first seed first.

strideflax sweep --config configs/study94.py --out runs/study94

Each operator stands in front of the convolution, at the stride's cost, and behind it, where the records have their max pools.
220 runs, for a GPU; nothing has been run yet. The same command goes on where it was stopped.
"""

from configs.resnet9 import get_config as resnet9

OPERATORS = (
    "max_pool", "avg_pool", "blur_pool", "max_blur", "soft_pool", "gem_pool", "mixed_pool", "lip", "haar_low", "spectral_pool",
)  # fmt: skip


def get_config(arg=None):
    """Return ResNet-9 and its recipe."""
    return resnet9(arg)


def sweep(arg=None):
    """Yield the strided convolutions, and each operator before and after the convolution, seed by seed."""
    for seed in range(10):
        for name in ("strided_conv", "conv_pool"):
            yield {"model.downsample": name, "seed": seed}
        for placement in ("before", "after"):
            for operator in OPERATORS:
                yield {"model.downsample": operator, "model.placement": placement, "seed": seed}
