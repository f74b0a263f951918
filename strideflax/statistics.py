"""Statistics of a table of runs: the public import path of `strideflax.analysis.comparison` and its intervals.

::

    from strideflax import results, statistics
    statistics.compare_paired(results.shipped("ablation_shapes"), within=["augment.crop"])
"""

from strideflax.analysis.comparison import (
    Difference,
    compare_paired,
    interaction,
    paired_difference,
    pairs_needed,
    summarize,
)
from strideflax.analysis.intervals import bootstrap_interval, holm, sign_flip_p

__all__ = [
    "Difference",
    "bootstrap_interval",
    "compare_paired",
    "holm",
    "interaction",
    "paired_difference",
    "pairs_needed",
    "sign_flip_p",
    "summarize",
]
