#!/usr/bin/env python3
"""Train a mini-ResNet as a config file says; the same as ``strideflax train``, for use in a checkout.

python train.py --config configs/stride2.py
python train.py --config configs/stride2.py:quick --config.model.downsample=max_pool --config.seed=1
"""

from strideflax.__main__ import program

if __name__ == "__main__":
    program("train")
