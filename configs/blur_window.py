"""How wide a blur? 2 to 7 taps beside the strided convolution.

strideflax sweep --config configs/blur_window.py --out runs/blur_window
"""

from configs.baseline import baseline


def get_config(arg=None):
    """Return the baseline."""
    return baseline(arg)


def sweep(arg=None):
    """Yield no blur and four filters for five seeds."""
    for seed in range(5):
        yield {"model.downsample": "strided_conv", "seed": seed}
        for window in (2, None, 5, 7):  # None is the default, 3
            yield {"model.downsample": "blur_pool", "model.window": window, "seed": seed}
