"""What others have published on downsampling, checked against runs. A new claim is one line of `CLAIMS`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from strideflax.analysis.ablation import CONSISTENCY
from strideflax.analysis.comparison import paired_difference
from strideflax.analysis.fields import changes_results
from strideflax.analysis.run_table import FINISHED

REPRODUCED, NULL, CONTRADICTED = "reproduced", "null", "contradicted"
NOT_RUN = "not run"
LEAST_PAIRS = 5  # an interval of fewer says little: of two pairs without a difference every second one leaves out 0
ACCURACY = "test_accuracy"
IDENTITY = ("seed", "status", "config_fingerprint", "dataset_fingerprint", ACCURACY)
MARGIN = 0.005  # half a point: what "no gain" may be off by

# What both sides of a claim have unless it says otherwise: the baseline of configs/baseline.py.
SETTING: dict[str, Any] = {
    "model.downsample": "strided_conv",
    "model.window": 0,
    "model.placement": "after",
    "model.residual": True,
    "model.stem.kernel": 7,
    "model.stem.stride": 2,
    "model.stem.pool": "none",
    "model.padding": "SYMMETRIC",
    "augment.crop": 4,
    "augment.flip": True,
}
PLAIN = {"model.residual": False, "augment.crop": 0, "augment.flip": False}
BLUR = {"model.downsample": "blur_pool"}


@dataclass(frozen=True)
class Claim:
    """Something gains, or does not gain, over something else.

    Attributes:
        name: as in the literature's list, "R2".
        text: one line.
        source: who says so.
        reference, other: fields of the config in which either side differs from `SETTING`.
        published: the range of the gain, other minus reference, as a fraction; one that holds 0 says that there is none.
        value: the column that gains.
    """

    name: str
    text: str
    source: str
    reference: Mapping[str, Any]
    other: Mapping[str, Any]
    published: tuple[float, float]
    value: str = ACCURACY

    def verdict(self, low: float, high: float) -> str:
        """Return what a 95 % interval of the gain says of the claim.

        A gain is reproduced if the interval lies on its side of 0, whatever its size, contradicted if it lies on the other
        side, and null if it holds 0. "No gain" is reproduced if the interval lies within the published range widened by
        `MARGIN`, contradicted if it does not meet the published range, and null otherwise: few runs show nothing.
        """
        least, most = self.published
        if least <= 0 <= most:
            if low > most or high < least:
                return CONTRADICTED
            return REPRODUCED if low >= least - MARGIN and high <= most + MARGIN else NULL
        if low <= 0 <= high:
            return NULL
        return REPRODUCED if (low > 0) == (least > 0) else CONTRADICTED


ZHANG = "Zhang 2019, arXiv:1904.11486"
SPRINGENBERG = "Springenberg et al. 2015, arXiv:1412.6806"

# Ranges where the claim has a direction and no number.
MORE, LESS = (math.ulp(0.0), math.inf), (-math.inf, -math.ulp(0.0))
NO_LESS, NO_MORE = (0.0, math.inf), (-math.inf, 0.0)

CLAIMS = (
    Claim("R2", "blur beats stride without crops", ZHANG, {"augment.crop": 0}, {**BLUR, "augment.crop": 0}, (0.01, 0.02)),
    Claim(
        "R2", "and is more consistent under shifts", ZHANG, {"augment.crop": 0}, {**BLUR, "augment.crop": 0}, MORE,
        CONSISTENCY,
    ),
    Claim("R3", "with crops blur gains nothing", ZHANG, {}, BLUR, (-0.003, 0.002)),
    Claim("R3", "and is still more consistent", ZHANG, {}, BLUR, MORE, CONSISTENCY),
    Claim(
        "R4", "a 3x3/1 stem beats 7x7/2 by far", "common practice on CIFAR",
        {}, {"model.stem.kernel": 3, "model.stem.stride": 1}, (0.03, math.inf),
    ),
    Claim(
        "R5", "in a plain net stride in place of a max pool loses", SPRINGENBERG,
        {**PLAIN, "model.downsample": "max_pool", "model.placement": "before"}, PLAIN, LESS,
    ),
    Claim(
        "R5", "an added strided convolution is no worse than the pool", SPRINGENBERG,
        {**PLAIN, "model.downsample": "max_pool", "model.placement": "before"}, {**PLAIN, "model.placement": "added"},
        NO_LESS,
    ),
    Claim(
        "R5", "nor than a convolution added to the pool", SPRINGENBERG,
        {**PLAIN, "model.downsample": "conv_pool", "model.placement": "added"}, {**PLAIN, "model.placement": "added"},
        (-0.005, 0.005),
    ),
    Claim("R6", "a wider blur is more consistent: 7 taps over 3", ZHANG, BLUR, {**BLUR, "model.window": 7}, MORE, CONSISTENCY),
    Claim("R6", "but not more accurate", ZHANG, BLUR, {**BLUR, "model.window": 7}, NO_MORE),
)  # fmt: skip


def check_claims(frame: pd.DataFrame, claims: Sequence[Claim] = CLAIMS) -> pd.DataFrame:
    """Return one row per claim: name, text, source, pairs, difference, its 95 % interval, what was published, the verdict.

    Each claim is looked at by itself: nothing is corrected for their number. With fewer than `LEAST_PAIRS` pairs the verdict
    says how many there are.

    Args:
        frame: runs, as from `strideflax.results.load`; those of several sweeps may be together in it, and a run that
            is in it twice counts once.
        claims: what to check.

    Raises:
        ValueError: two different runs of one side of a claim share a seed, the two sides differ in a field that the claim
            does not name, or on what images they are, or a field of `SETTING` is missing.
    """
    for name in (*SETTING, *IDENTITY):
        if name not in frame:
            raise ValueError(
                f"these are not runs of a model: {name} is missing; give a frame of strideflax.results.load"
            )
    finished = frame[frame["status"] == FINISHED]
    rows = []
    for claim in claims:
        found = paired_difference(_gains(finished, claim))
        verdict = claim.verdict(found.low, found.high)
        if found.pairs < LEAST_PAIRS:
            verdict = f"too few pairs: {found.pairs}" if found.pairs else NOT_RUN
        row = {
            "claim": claim.name,
            "text": claim.text,
            "source": claim.source,
            "value": claim.value,
            "pairs": found.pairs,
            "difference": found.difference,
            "low": found.low,
            "high": found.high,
            "published_low": claim.published[0],
            "published_high": claim.published[1],
            "verdict": verdict,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _gains(runs: pd.DataFrame, claim: Claim) -> np.ndarray:
    """Return the claim's value, other side minus reference, for each seed that both sides have."""
    reference = _by_seed(runs, {**SETTING, **claim.reference}, claim)
    other = _by_seed(runs, {**SETTING, **claim.other}, claim)
    seeds = reference.index.intersection(other.index)
    named = {*claim.reference, *claim.other}
    for name in runs:
        if not _must_be_alike(name) or name in named:
            continue
        ours, theirs = reference.loc[seeds, name], other.loc[seeds, name]
        if ((ours != theirs) & ~(ours.isna() & theirs.isna())).any():
            raise ValueError(f"{claim.name}: its two sides differ in {name} too; give runs of one study")
    if claim.value not in runs:
        return np.array([])
    return (other[claim.value] - reference[claim.value]).dropna().to_numpy()


def _must_be_alike(column: str) -> bool:
    """Return whether the two sides of a claim must agree in a column that the claim does not name."""
    return changes_results(column) or column == "dataset_fingerprint"


def _by_seed(runs: pd.DataFrame, fields: Mapping[str, Any], claim: Claim) -> pd.DataFrame:
    """Return the runs with those fields, by seed."""
    chosen = runs
    for name, value in fields.items():
        chosen = chosen[chosen[name] == value]
    chosen = chosen.drop_duplicates([*IDENTITY])
    if chosen["seed"].duplicated().any():
        raise ValueError(
            f"{claim.name}: several runs share a seed; give runs of one study, that differ in nothing else"
        )
    return chosen.set_index("seed")
