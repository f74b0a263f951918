"""Average pooling after the first convolution of a block and on its shortcut, instead of strides.

Shows what the simplest low-pass, a 2 x 2 mean, is worth, at 1.56 times the MACs.

- ``python train.py --config configs/avgpool.py:narrow --config.data.dir=DIR``: 83.22 ± 0.29 % on CIFAR-10 (JPEG
  re-encoded), mean and standard deviation of 5 seeds; the strided network has 80.79 ± 0.26 %.
- ``python train.py --config configs/avgpool.py:quick``: 70.0 % in 5 s of training and 2 s of compilation (n = 1).

Two cores of an Intel Xeon, jax 0.12.0.1, 2026-11-22.
"""

from configs.baseline import baseline


def get_config(arg=None):
    """Return the baseline with `avg_pool` in every block that downsamples."""
    return baseline(arg, downsample="avg_pool")
