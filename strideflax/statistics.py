"""Statistics of a table of runs: the public import path of `comparison`, `intervals` and `sequential` in `strideflax.analysis`.

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
from strideflax.analysis.sequential import Standing, decide, repeated_intervals

__all__ = [
    "Difference",
    "Standing",
    "bootstrap_interval",
    "compare_paired",
    "decide",
    "holm",
    "interaction",
    "paired_difference",
    "pairs_needed",
    "repeated_intervals",
    "sign_flip_p",
    "summarize",
]
