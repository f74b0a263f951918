"""Does a misaligned residual branch cost accuracy? SAME against SYMMETRIC padding, strided and max-pooled.

strideflax sweep --config configs/alignment.py --out runs/alignment
"""

from configs.baseline import baseline


def get_config(arg=None):
    """Return the baseline."""
    return baseline(arg)


def sweep(arg=None):
    """Yield both conventions for two operators and five seeds."""
    for seed in range(5):
        for operator in ("strided_conv", "max_pool"):
            for padding in ("SAME", "SYMMETRIC"):
                yield {"model.padding": padding, "model.downsample": operator, "seed": seed}
