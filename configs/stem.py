"""What does the stem cost? 7x7/2, 3x3/2 and 3x3/1, with and without a max pool behind it.

strideflax sweep --config configs/stem.py --out runs/stem
"""

from configs.baseline import baseline


def get_config(arg=None):
    """Return the baseline."""
    return baseline(arg)


def sweep(arg=None):
    """Yield the six stems for five seeds."""
    for seed in range(5):
        for kernel, stride in ((7, 2), (3, 2), (3, 1)):
            for pool in (None, "max_pool"):
                yield {
                    "model.stem.kernel": kernel,
                    "model.stem.stride": stride,
                    "model.stem.pool": pool,
                    "seed": seed,
                }
