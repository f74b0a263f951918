"""How numbers stand in the cells of the tables of ``RESULTS.md``."""

from collections.abc import Mapping
from typing import Any

import pandas as pd


def spread(values: pd.Series, digits: int) -> str:
    """Return mean and standard deviation of the seeds that have a value."""
    known = values.dropna()
    return f"{known.mean():.{digits}f} ± {known.std():.{digits}f}"


def gain(row: Mapping[str, Any]) -> str:
    """Return a difference in percentage points with its interval; ``row`` has ``difference``, ``low`` and ``high``."""
    low, high = row["low"], row["high"]
    if pd.isna(low):
        return points(row["difference"])
    return f"{points(row['difference'])} ({points(low)} to {points(high)})"


def points(fraction: float) -> str:
    """Return percentage points with a sign, a true minus."""
    return f"{100 * fraction:+.2f}".replace("-", "\N{MINUS SIGN}")


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)
