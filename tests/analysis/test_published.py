"""Claims of others against runs: which pairs count, and what an interval says."""

import numpy as np
import pandas as pd
import pytest

from strideflax.analysis.published import CLAIMS, LEAST_PAIRS, LESS, NO_LESS, SETTING, Claim, check_claims
from strideflax.analysis.run_table import shipped
from strideflax.config_values import flat, with_not_set_as_before

GAIN = Claim("G", "it gains", "nobody", {}, {"model.downsample": "blur_pool"}, (0.01, 0.02))
LOSS = Claim("L", "it loses", "nobody", {}, {"model.downsample": "blur_pool"}, LESS)
NONE = Claim("N", "it gains nothing", "nobody", {}, {"model.downsample": "blur_pool"}, (-0.003, 0.002))
NO_WORSE = Claim("W", "it is no worse", "nobody", {}, {"model.downsample": "blur_pool"}, NO_LESS)


def runs(accuracies: dict[str, list[float]], **fields) -> pd.DataFrame:
    """Return finished runs of operators, seed by seed."""
    rows = [
        {
            **SETTING, "model.widths": (32, 64), "epochs": 8.0, "model.downsample": name, **fields, "seed": seed,
            "status": "finished", "test_accuracy": accuracy, "config_fingerprint": f"{name} {fields} {seed}",
            "dataset_fingerprint": "d1",
        }
        for name, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]  # fmt: skip
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
        (NONE, -0.004, 0.006, "reproduced"),
        (NONE, 0.001, 0.007, "reproduced"),
        (NONE, 0.001, 0.008, "null"),
        (NONE, -0.009, 0.001, "null"),
        (NONE, -0.3, 0.3, "null"),
        (NONE, 0.005, 0.04, "contradicted"),
        (NONE, -0.04, -0.005, "contradicted"),
        (NO_WORSE, -0.004, 0.3, "reproduced"),
        (NO_WORSE, -0.006, 0.3, "null"),
        (NO_WORSE, -0.3, -0.1, "contradicted"),
    ],
)
def test_what_an_interval_says(claim, low, high, verdict):
    assert claim.verdict(low, high) == verdict


STRIDED, BLURRED = [0.80, 0.82, 0.81, 0.80, 0.82], [0.81, 0.84, 0.83, 0.82, 0.83]


def test_pairs_are_of_the_same_seed_and_differ_by_the_claim_alone():
    frame = pd.concat(
        [
            runs({"strided_conv": STRIDED, "blur_pool": BLURRED}),
            runs({"strided_conv": [0.1, 0.1], "blur_pool": [0.9, 0.9]}, **{"augment.crop": 0}),
            runs({"blur_pool": [0.5, 0.5]}, **{"model.window": 5}),
        ]
    ).sample(frac=1, random_state=0)
    (row,) = check_claims(frame, [GAIN]).to_dict("records")
    assert row["pairs"] == 5
    assert row["difference"] == pytest.approx((0.01 + 0.02 + 0.02 + 0.02 + 0.01) / 5)
    assert row["verdict"] == "reproduced"


def test_a_run_that_failed_makes_no_pair():
    frame = runs({"strided_conv": STRIDED, "blur_pool": BLURRED})
    frame.loc[frame.index[0], "status"] = "diverged"
    (row,) = check_claims(frame, [GAIN]).to_dict("records")
    assert row["pairs"] == 4


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [(0, "not run"), (1, "too few pairs: 1"), (2, "too few pairs: 2"), (4, "too few pairs: 4"), (5, "reproduced")],
)
def test_few_pairs_have_no_verdict(pairs, verdict):
    assert LEAST_PAIRS == 5
    frame = runs({"strided_conv": STRIDED, "blur_pool": BLURRED[:pairs]})
    (row,) = check_claims(frame, [GAIN]).to_dict("records")
    assert row["verdict"] == verdict
    assert np.isnan(row["low"]) == (pairs < 2)


def test_a_run_that_is_there_twice_counts_once():
    frame = runs({"strided_conv": STRIDED, "blur_pool": BLURRED})
    again = frame.assign(run="of another sweep")
    (row,) = check_claims(pd.concat([frame, again]), [GAIN]).to_dict("records")
    assert row["pairs"] == 5


def test_two_runs_of_one_seed_are_refused():
    frame = runs({"strided_conv": STRIDED, "blur_pool": BLURRED})
    with pytest.raises(ValueError, match="G: several runs share a seed"):
        check_claims(pd.concat([frame, frame.assign(test_accuracy=0.7)]), [GAIN])


@pytest.mark.parametrize(
    ("field", "value"), [("model.widths", (64, 128)), ("epochs", 9.0), ("dataset_fingerprint", "d2")]
)
def test_sides_that_differ_in_more_than_the_claim_are_refused(field, value):
    one, other = runs({"strided_conv": STRIDED}), runs({"blur_pool": BLURRED})
    other[field] = [value] * len(other)
    with pytest.raises(ValueError, match=f"G: its two sides differ in {field} too"):
        check_claims(pd.concat([one, other]), [GAIN])


def test_other_tables_are_refused_in_one_line():
    with pytest.raises(ValueError, match=r"model.stem.pool is missing; give a frame of strideflax.results.load"):
        check_claims(runs({"strided_conv": STRIDED}).drop(columns="model.stem.pool"), [GAIN])


def test_the_shipped_runs_have_claims_to_check():
    verdicts = check_claims(shipped("ablation_cifar10")).set_index("text")["verdict"]
    assert verdicts["blur beats stride without crops"] == "reproduced"
    assert verdicts["with crops blur gains nothing"] == "contradicted"


def test_every_claim_can_be_run_by_a_shipped_config():
    """The fields of each side are those of a run of some sweep, so that "not run" can be mended by a command."""
    from strideflax.config_file import read_sweep

    found = []
    for name in ("ablation", "stem", "all_cnn", "blur_window"):
        for _, config in read_sweep(f"configs/{name}.py:narrow"):
            fields = flat(with_not_set_as_before(config.to_dict()))
            found.append({name: fields[name] for name in SETTING})
    for claim in CLAIMS:
        assert {**SETTING, **claim.reference} in found, claim
        assert {**SETTING, **claim.other} in found, claim
