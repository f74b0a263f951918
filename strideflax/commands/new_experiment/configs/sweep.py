"""My comparison: the operators of this list, each with the same seeds.

strideflax sweep --config configs/sweep.py:quick --out runs/sweep --dry-run
strideflax sweep --config configs/sweep.py:quick --out runs/sweep
strideflax report runs/sweep

The first says how long the second will take. The same command again goes on with an interrupted sweep, and runs that are added
to the list below join those that are done.
"""

from collections.abc import Iterator
from typing import Any

from configs.mine import get_config as my_config
from ml_collections import ConfigDict

OPERATORS = ("strided_conv", "blur_pool", "max_pool")  # the first is what the report compares the others with
SEEDS = 5  # pairs of runs; one pair shows little, since luck is worth points of accuracy


def get_config(arg: str | None = None) -> ConfigDict:
    """Return what all runs share: the config beside this file."""
    return my_config(arg)


def sweep(arg: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield what each run changes, seed by seed, so that an unfinished sweep is already paired."""
    for seed in range(SEEDS):
        for operator in OPERATORS:
            yield {"model.downsample": operator, "seed": seed}
