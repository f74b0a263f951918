"""Claims of others against runs: which pairs count, and what an interval says."""

import numpy as np
import pandas as pd
import pytest

from strideflax.config import flat
from strideflax.study.claims import CLAIMS, LESS, SETTING, Claim, check_claims

GAIN = Claim("G", "it gains", "nobody", {}, {"model.downsample": "blur_pool"}, (0.01, 0.02))
LOSS = Claim("L", "it loses", "nobody", {}, {"model.downsample": "blur_pool"}, LESS)
NONE = Claim("N", "it gains nothing", "nobody", {}, {"model.downsample": "blur_pool"}, (-0.003, 0.002))


def runs(accuracies: dict[str, list[float]], **fields) -> pd.DataFrame:
    """Return finished runs of operators, seed by seed."""
    rows = [
        {**SETTING, "model.downsample": name, **fields, "seed": seed, "status": "finished", "test_accuracy": accuracy}
        for name, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("claim", "low", "high", "verdict"),
    [
        (GAIN, 0.01, 0.02, "reproduced"),
        (GAIN, 0.05, 0.09, "reproduced"),
        (GAIN, -0.01, 0.02, "null"),
        (GAIN, -0.02, -0.01, "contradicted"),
        (LOSS, -0.02, -0.01, "reproduced"),
        (LOSS, 0.01, 0.02, "contradicted"),
        (NONE, -0.01, 0.01, "reproduced"),
        (NONE, 0.001, 0.04, "reproduced"),
        (NONE, 0.005, 0.04, "contradicted"),
        (NONE, -0.04, -0.005, "contradicted"),
    ],
)
def test_what_an_interval_says(claim, low, high, verdict):
    assert claim.verdict(low, high) == verdict


def test_pairs_are_of_the_same_seed_and_differ_by_the_claim_alone():
    frame = pd.concat(
        [
            runs({"strided_conv": [0.80, 0.82, 0.81], "blur_pool": [0.81, 0.84, 0.83]}),
            runs({"strided_conv": [0.1, 0.1], "blur_pool": [0.9, 0.9]}, **{"augment.crop": 0}),
            runs({"blur_pool": [0.5, 0.5]}, **{"model.window": 5}),
        ]
    ).sample(frac=1, random_state=0)
    (row,) = check_claims(frame, [GAIN]).to_dict("records")
    assert row["pairs"] == 3
    assert row["difference"] == pytest.approx((0.01 + 0.02 + 0.02) / 3)
    assert row["verdict"] == "reproduced"


def test_a_run_that_failed_makes_no_pair():
    frame = runs({"strided_conv": [0.8, 0.8, 0.8], "blur_pool": [0.9, 0.9, 0.9]})
    frame.loc[frame.index[0], "status"] = "diverged"
    (row,) = check_claims(frame, [GAIN]).to_dict("records")
    assert row["pairs"] == 2


def test_what_was_not_run_or_once_has_no_verdict():
    for frame in (runs({"strided_conv": [0.8]}), runs({"strided_conv": [0.8], "blur_pool": [0.9]})):
        (row,) = check_claims(frame, [GAIN]).to_dict("records")
        assert row["verdict"] == "not run"
        assert np.isnan(row["low"])


def test_two_runs_of_one_seed_are_refused():
    frame = runs({"strided_conv": [0.8, 0.8], "blur_pool": [0.9, 0.9]})
    with pytest.raises(ValueError, match="G: several runs share a seed"):
        check_claims(pd.concat([frame, frame]), [GAIN])


def test_every_claim_can_be_run_by_a_shipped_config():
    """The fields of each side are those of a run of some sweep, so that "not run" can be mended by a command."""
    from strideflax.config_file import read_sweep

    found = []
    for name in ("ablation", "stem", "all_cnn", "blur_window"):
        for _, config in read_sweep(f"configs/{name}.py:narrow"):
            fields = flat(config.to_dict())
            found.append({name: fields[name] for name in SETTING})
    for claim in CLAIMS:
        assert {**SETTING, **claim.reference} in found, claim
        assert {**SETTING, **claim.other} in found, claim
