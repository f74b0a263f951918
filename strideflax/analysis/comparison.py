"""What a table of runs says, and how sure it is: intervals, paired differences, how many seeds.

Runs of two operators with the same seed saw the same images in the same order and started from the same shared
parameters, so they are compared in pairs: the differences spread less than the runs do. Runs that did not finish are
never averaged in; they are counted.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from strideflax.analysis.fields import is_share
from strideflax.analysis.intervals import bootstrap_interval, holm, sign_flip_p, student_interval, student_t
from strideflax.analysis.run_table import FINISHED


@dataclass(frozen=True)
class Difference:
    """A mean of paired differences and how sure it is.

    Attributes:
        pairs: differences that were there.
        dropped: differences that were missing.
        difference: their mean; above 0, the operator beats the baseline (where more is better).
        sd: their standard deviation (n - 1).
        low, high: the interval, see `bootstrap_interval`.
        p: two-sided, see `sign_flip_p`.
        probability_of_improvement: share of pairs above 0; a tie counts half.
    """

    pairs: int
    dropped: int
    difference: float
    sd: float
    low: float
    high: float
    p: float
    probability_of_improvement: float


def summarize(
    frame: pd.DataFrame, by: Sequence[str], value: str = "test_accuracy", *, confidence: float = 0.95
) -> pd.DataFrame:
    """Return one row per group: ``n``, ``missing`` (runs without a value), ``mean``, ``sd`` (n - 1), ``low``, ``high``.

    The interval is Student's t for a mean of n runs; with one run, ``sd`` and the interval are NaN. The interval of a
    share, such as an accuracy, is cut at 0 and 1.

    Args:
        frame: runs, as from `strideflax.results.load`.
        by: columns that make a group, in order of first appearance.
        value: the column to average.
        confidence: of the interval.

    Raises:
        ValueError: a column that is not there.
    """
    frame = _counted(frame, [*by], value)
    lowest, highest = (0.0, 1.0) if is_share(value) else (-math.inf, math.inf)
    rows = []
    for group, values in frame.groupby([*by], sort=False, dropna=False)[value]:
        known = values.dropna().to_numpy(float)
        low, high = student_interval(known, confidence, lowest=lowest, highest=highest)
        rows.append((*group, len(known), len(values) - len(known), _mean(known), _sd(known), low, high))
    return pd.DataFrame(rows, columns=[*by, "n", "missing", "mean", "sd", "low", "high"])


def compare_paired(
    frame: pd.DataFrame,
    baseline: str = "strided_conv",
    factor: str = "model.downsample",
    value: str = "test_accuracy",
    *,
    within: Sequence[str] = (),
    pair: str = "seed",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compare each level of ``factor`` with ``baseline``, pair by pair.

    Args:
        frame: runs, as from `strideflax.results.load`.
        baseline: the level of ``factor`` that the others are compared with.
        factor: column of what is compared.
        value: column of the number that is compared; more is better.
        within: columns of the settings; each combination is compared on its own.
        pair: column that pairs runs.
        confidence: of the intervals.

    Returns:
        One row per setting and level: ``within``, ``factor``, the fields of `Difference`, and ``p_holm``, which is ``p``
        after Holm's correction (1979) over the levels of that setting. ``dropped`` counts the pairs in which one run or
        both have no value.

    Raises:
        ValueError: a column or the baseline is not there; two runs share setting, level and pair (a column is missing
            in ``within``); or a level was run under none of the baseline's pairs, so that this is not paired data.
    """
    frame = _counted(frame, [*within, factor, pair], value).dropna(subset=[factor, pair])
    if baseline not in set(frame[factor]):
        raise ValueError(f"no run has {factor} {baseline!r}; there are {', '.join(map(repr, frame[factor].unique()))}")
    rows = []
    settings = frame.groupby([*within], sort=False, dropna=False) if within else [((), frame)]
    for setting, runs in settings:
        found: dict[object, Difference] = {}
        for level in runs[factor].unique():
            if level != baseline:
                gains = _paired_gains(runs, factor, level, baseline, value, pair)
                found[level] = paired_difference(gains.to_numpy(), confidence=confidence)
        adjusted = holm([difference.p for difference in found.values()])
        for index, (level, difference) in enumerate(found.items()):
            rows.append((*setting, level, *vars(difference).values(), adjusted[index]))
    return pd.DataFrame(rows, columns=[*within, factor, *Difference.__annotations__, "p_holm"])


def interaction(
    frame: pd.DataFrame,
    treatment: str,
    *,
    condition: str = "augment.crop",
    levels: tuple[object, object] = (0, 4),
    baseline: str = "strided_conv",
    factor: str = "model.downsample",
    value: str = "test_accuracy",
    pair: str = "seed",
    confidence: float = 0.95,
) -> Difference:
    """Return by how much more ``treatment`` gains over ``baseline`` at the first of ``levels`` than at the second.

    For each pair: (treatment - baseline) where ``condition`` is ``levels[0]``, minus the same where it is
    ``levels[1]``. With the defaults: how much of an operator's gain goes away when images are cropped at random.

    Raises:
        ValueError: as `compare_paired`; also if a level of the condition has no runs.
    """
    frame = _counted(frame, [factor, condition, pair], value)
    gains = []
    for level in levels:
        runs = frame[frame[condition] == level]
        if missing := {treatment, baseline} - set(runs[factor]):
            raise ValueError(f"no run has {factor} {min(missing)!r} where {condition} is {level!r}")
        gains.append(_paired_gains(runs, factor, treatment, baseline, value, pair))
    return paired_difference((gains[0] - gains[1]).to_numpy(), confidence=confidence)


def paired_difference(differences: np.ndarray, *, confidence: float = 0.95) -> Difference:
    """Return the statistics of paired ``differences`` ``[pairs]``, of which NaN is a missing pair."""
    known = differences[np.isfinite(differences)]
    low, high = bootstrap_interval(known, confidence)
    return Difference(
        pairs=len(known),
        dropped=len(differences) - len(known),
        difference=_mean(known),
        sd=_sd(known),
        low=low,
        high=high,
        p=sign_flip_p(known),
        probability_of_improvement=_mean((np.sign(known) + 1) / 2),
    )


def pairs_needed(sd: float, difference: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return how many pairs a two-sided paired t-test needs to find ``difference``.

    Args:
        sd: standard deviation of the paired differences. Two arms that each spread by s over seeds and correlate by r
            give s * sqrt(2 * (1 - r)): sqrt(2) * s if pairing helps nothing.
        difference: the mean difference to find, in the unit of ``sd``.
        power: the probability of finding it.
        alpha: the probability of finding one where there is none.

    Returns:
        The smallest n with 1 - F(t) + F(-t) >= power, F of the noncentral t with n - 1 degrees of freedom and
        noncentrality sqrt(n) * difference / sd, t its critical value.

    Raises:
        ValueError: ``sd`` or ``difference`` is not above 0, or a probability not within 0 and 1.
    """
    if not (sd > 0 and difference > 0):
        raise ValueError(f"sd and difference must be > 0, got {sd} and {difference}")
    if not (0 < alpha < power < 1):
        raise ValueError(f"alpha and power must be 0 < alpha < power < 1, got {alpha} and {power}")
    most = 2
    while _paired_t_power(most, difference / sd, alpha) < power:
        most *= 2
    return 2 + bisect_left(range(2, most), power, key=lambda n: _paired_t_power(n, difference / sd, alpha))


def _paired_t_power(n: int, ratio: float, alpha: float) -> float:
    critical, noncentrality = student_t(1 - alpha, n), math.sqrt(n) * ratio
    upper = special.nctdtr(n - 1, noncentrality, critical)
    lower = special.nctdtr(n - 1, noncentrality, -critical)
    return float(1 - upper + lower)


def _counted(frame: pd.DataFrame, columns: list[str], value: str) -> pd.DataFrame:
    """Return ``columns`` and ``value``, without the value of a run that is not finished."""
    if missing := [name for name in (*columns, value) if name not in frame]:
        raise ValueError(f"no column {missing[0]!r}; there are {', '.join(map(str, frame.columns))}")
    counted = frame[[*columns, value]].copy()
    counted[value] = counted[value].astype(float)
    if "status" in frame:
        counted.loc[frame["status"] != FINISHED, value] = np.nan
    return counted


def _paired_gains(runs: pd.DataFrame, factor: str, level: str, baseline: str, value: str, pair: str) -> pd.Series:
    """Return ``level`` - ``baseline`` for each pair that has a run of either; NaN where one of the two has no value."""
    runs = runs[runs[factor].isin([level, baseline])]
    repeated = runs[runs.duplicated([factor, pair], keep=False)]
    if len(repeated):
        name, key = repeated.iloc[0][[factor, pair]]
        raise ValueError(
            f"not paired: several runs have {factor} {name!r} and {pair} {key}; name what tells them apart"
        )
    pairs = set(runs.loc[runs[factor] == level, pair])
    baseline_pairs = set(runs.loc[runs[factor] == baseline, pair])
    if baseline_pairs and pairs.isdisjoint(baseline_pairs):
        raise ValueError(
            f"not paired: {factor} {level!r} shares no {pair} with {baseline!r}; runs of one {pair} make a pair"
        )
    table = runs.pivot(index=pair, columns=factor, values=value).reindex(columns=[level, baseline])
    return table[level] - table[baseline]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _sd(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan
