"""Max pooling after the first convolution of a block and on its shortcut, instead of strides.

Shows what keeping the strongest response of each 2 x 2 window is worth, at 1.56 times the MACs.

- ``python train.py --config configs/maxpool.py:narrow --config.data.dir=DIR``: 82.17 ± 0.29 % on CIFAR-10 (JPEG
  re-encoded), mean and standard deviation of 5 seeds; the strided network has 80.79 ± 0.26 %.
- ``python train.py --config configs/maxpool.py:quick``: 72.5 % in 6 s of training and 2 s of compilation (n = 1).

Two cores of an Intel Xeon, jax 0.12.0.1, 2026-11-22.
"""

from configs.baseline import baseline


def get_config(arg=None):
    """Return the baseline with `max_pool` in every block that downsamples."""
    return baseline(arg, downsample="max_pool")
