"""Runs as a pandas table: the public import path of what `strideflax.analysis.run_table` does.

::

    from strideflax import results
    runs = results.load("runs/ablation")
"""

from strideflax.analysis.run_table import LEADING, curves, load, save, shipped

__all__ = ["LEADING", "curves", "load", "save", "shipped"]
