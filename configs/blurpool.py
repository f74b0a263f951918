"""BlurPool (3 taps) after the first convolution of a block and on its shortcut, instead of strides.

Shows what a proper low-pass before the subsampling is worth, at 1.56 times the MACs.

- ``python train.py --config configs/blurpool.py:narrow --config.data.dir=DIR``: 83.46 ± 0.21 % on CIFAR-10 (JPEG
  re-encoded), mean and standard deviation of 5 seeds; the strided network has 80.79 ± 0.26 %.
- ``python train.py --config configs/blurpool.py:quick``: 70.3 % in 5 s of training and 2 s of compilation (n = 1).

Two cores of an Intel Xeon, jax 0.12.0.1, 2026-11-22.
"""

from configs.baseline import baseline


def get_config(arg=None):
    """Return the baseline with `blur_pool` in every block that downsamples."""
    return baseline(arg, downsample="blur_pool")
