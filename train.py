#!/usr/bin/env python3
"""Train a mini-ResNet as a config file says.

python train.py --config configs/stride2.py
python train.py --config configs/stride2.py:quick --config.model.downsample=max_pool --config.seed=1
"""

import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # imports take seconds: until they are done, Ctrl-C just ends
    from strideflax.__main__ import run_command
    from strideflax.commands import train

    run_command(train, sys.argv[1:], prog="train.py", description=__doc__)
