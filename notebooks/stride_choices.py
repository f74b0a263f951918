"""The runs on where strides stand, read: stems, places of the strides, one axis or both, the two paths' alignment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from strideflax import statistics

ACCURACY = "test_accuracy"
USUAL: dict[str, Any] = {  # what a net has that a comparison does not name
    "model.downsample": "strided_conv",
    "model.stem.kernel": 7,
    "model.stem.stride": 2,
    "model.stem.pool": "none",
    "model.strides": (1, 2, 2),
    "model.widths": (16, 32, 64),
    "model.padding": "SYMMETRIC",
    "data.stretch": (1, 1),
}
BOTH, COLUMNS, ROWS = (  # images of twice the width, and the axes of the last stage's stride
    {"data.stretch": (1, 2), "model.strides": (1, 2, last)} for last in ((2, 2), (1, 2), (2, 1))
)
FINE_STEM = {"model.stem.kernel": 3, "model.stem.stride": 1}
BLUR, MAXIMUM = {"model.downsample": "blur_pool"}, {"model.downsample": "max_pool"}
SAME = {"model.padding": "SAME"}


@dataclass(frozen=True)
class Choice:
    """What is compared: from the net with ``before`` to the one with ``after``, each beside `USUAL`."""

    group: str
    text: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


CHOICES = (
    Choice("stem", "7×7/2 → 3×3/2", {}, {"model.stem.kernel": 3}),
    Choice("stem", "7×7/2 → 3×3/1", {}, FINE_STEM),
    Choice("stem", "3×3/1, and a max pool behind it", {}, FINE_STEM | {"model.stem.pool": "max_pool"}),
    Choice("stem", "7×7/2, and a max pool behind it", {}, {"model.stem.pool": "max_pool"}),
    Choice("place", "1, 2, 2 → 2, 1, 2", {}, {"model.strides": (2, 1, 2)}),
    Choice("place", "1, 2, 2 → 2, 1, 2, wider", {}, {"model.strides": (2, 1, 2), "model.widths": (19, 37, 75)}),
    Choice("place", "1, 2, 2 → 2, 2, 1", {}, {"model.strides": (2, 2, 1)}),
    Choice("place", "1, 2, 2 → 2, 2, 1, wider", {}, {"model.strides": (2, 2, 1), "model.widths": (23, 45, 90)}),
    Choice("axes", "both → columns alone", BOTH, COLUMNS),
    Choice("axes", "both → rows alone", BOTH, ROWS),
    Choice("axes", "blur: both → columns alone", BOTH | BLUR, COLUMNS | BLUR),
    Choice("axes", "blur: both → rows alone", BOTH | BLUR, ROWS | BLUR),
    Choice("alignment", "strided: SAME → SYMMETRIC", SAME, {}),
    Choice("alignment", "max pool: SAME → SYMMETRIC", SAME | MAXIMUM, MAXIMUM),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """A choice with both mean accuracies, the paired difference and the ratio of the multiply-adds."""

    choice: Choice
    before: float
    after: float
    difference: statistics.Difference
    macs: float


def compare(runs: pd.DataFrame, choice: Choice) -> Outcome:
    """Return what a choice is worth, in pairs of a seed.

    Raises:
        ValueError: a net that no run has, or one that runs have twice with a seed.
    """
    before, after = (_runs_of(runs, changes) for changes in (choice.before, choice.after))
    seeds = before.index.intersection(after.index)
    before, after = before.loc[seeds], after.loc[seeds]
    difference = statistics.paired_difference((after[ACCURACY] - before[ACCURACY]).to_numpy(float))
    macs = after["macs"].iloc[0] / before["macs"].iloc[0]
    return Outcome(choice, before[ACCURACY].mean(), after[ACCURACY].mean(), difference, macs)


def _runs_of(runs: pd.DataFrame, changes: Mapping[str, Any]) -> pd.DataFrame:
    """Return the runs of one net by seed."""
    chosen = pd.Series(True, index=runs.index)
    for name, value in {**USUAL, **changes}.items():
        chosen &= runs[name].map(lambda cell, value=value: cell == value)
    found = runs[chosen].drop_duplicates(["config_fingerprint"]).set_index("seed").sort_index()
    if found.empty or found.index.has_duplicates:
        raise ValueError(f"one run per seed is needed of {dict(changes)}, found {len(found)}")
    return found
