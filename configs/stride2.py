"""Strides everywhere: a 7 x 7 stride-2 stem, and blocks whose first convolution has the stride.

Shows the baseline that every other operator is compared with.

- ``python train.py --config configs/stride2.py --config.data.dir=DIR``: 84.13 % and 84.02 % (seeds 0 and 1) on CIFAR-10 (JPEG
  re-encoded), in 2,005 and 2,133 s of training on cores shared with other work, before oneDNN computed the convolutions.
- ``python train.py --config configs/stride2.py:quick``: 68.3 % in 3 s of training and 2 s of compilation (n = 1).

Two cores of an Intel Xeon, jax 0.12.0.1, 2026-11-22.
"""

from configs.baseline import baseline


def get_config(arg=None):
    """Return the baseline unchanged."""
    return baseline(arg)
