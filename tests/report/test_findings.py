"""The answer says no more than the numbers do."""

import numpy as np
import pandas as pd
import pytest
from made_runs import accuracies

from strideflax import results
from strideflax.analysis.ablation import read_ablation
from strideflax.report.findings import find

SIX = [0.80, 0.81, 0.82, 0.80, 0.81, 0.83]
AHEAD = [0.81, 0.83, 0.83, 0.82, 0.82, 0.84]  # in each pair


def findings(values, **changes):
    return find(read_ablation(accuracies(values, **changes)), "a folder", [])


def verdict(values, **changes):
    (answer,) = findings(values, **changes).answers
    return answer.verdict


def test_six_pairs_that_agree_are_significant():
    assert verdict({"strided_conv": SIX, "a": AHEAD}) == "a beats strided_conv, +1.33 percentage points."


@pytest.mark.parametrize(("pairs", "p"), [(2, "0.5"), (5, "0.0625")])
def test_few_pairs_that_agree_are_not(pairs, p):
    (answer,) = findings({"strided_conv": SIX[:pairs], "a": AHEAD[:pairs]}).answers
    assert answer.verdict.endswith(f" percentage points, is not significant ({pairs} pairs, p = {p} after Holm).")
    assert answer.evidence.endswith(
        f" {pairs} pairs can't be significant in 1 comparison, however clear the gain is; 6 can."
    )


def test_a_p_value_that_does_not_survive_the_number_of_operators_is_not_called_a_win():
    others = {name: [value + 0.001 * (-1) ** seed for seed, value in enumerate(SIX)] for name in "bcdefgh"}
    said = verdict({"strided_conv": SIX, "a": AHEAD, **others})
    assert (
        "a; its gain over strided_conv, +1.33 percentage points, is not significant (6 pairs, p = 0.25 after Holm)"
        in said
    )


def test_not_clear():
    values = {"strided_conv": SIX, "a": [0.81, 0.80, 0.83, 0.79, 0.82, 0.83]}
    expected = "the best is a; its gain over strided_conv, +0.17 percentage points, is not significant"
    assert verdict(values).startswith(expected)


def test_worse():
    values = {"strided_conv": [0.80, 0.81], "a": [0.79, 0.80], "b": [0.6, 0.6]}
    expected = "no operator beats strided_conv; the closest is a, \N{MINUS SIGN}1.00 percentage points."
    assert verdict(values) == expected


def test_no_baseline_run_finished():
    values = {"strided_conv": [np.nan, np.nan], "a": [0.79, 0.80]}
    assert verdict(values) == "no run of strided_conv finished, so there is nothing to compare with."


def test_one_run_is_not_several():
    assert findings({"strided_conv": [0.8]}).basis == "1 finished run, 1 seed, on made up; device: cpu."


def test_validation_chooses_and_test_reports():
    """b has the better test accuracy, a the better validation accuracy, as a search over learning rates finds it."""
    frame = accuracies({"strided_conv": SIX, "a": AHEAD, "b": [value + 0.05 for value in SIX]})
    frame["val_accuracy"] = frame["model.downsample"].map({"strided_conv": 0.7, "a": 0.9, "b": 0.8})
    found = find(read_ablation(frame), "a folder", [])
    assert found.answers[0].verdict.startswith(
        "the best by validation is a; its gain over strided_conv, +1.33 percentage"
    )
    assert [row[0].text for row in found.tables[0].rows] == ["strided_conv", "a", "b"]
    assert found.tables[0].titles[1] == "validation accuracy, %"
    assert any("chosen by its accuracy on validation images" in note for note in found.notes)


def test_without_validation_it_says_that_the_test_images_chose():
    assert any("picked by its test accuracy" in note for note in findings({"strided_conv": SIX, "a": AHEAD}).notes)


def test_times_tell_their_number_and_spread(study_folder):
    frame = results.load(study_folder)
    latency = "cost.inference_batch_1.median_ms"
    frame.loc[frame["run"] == "max_pool-4-0", latency] = 8.0
    frame.loc[frame["run"] == "max_pool-4-1", latency] = np.nan
    cost = find(read_ablation(frame), "a folder", []).tables[1]
    row = next(row for row in cost.rows if [cell.text for cell in row[:2]] == ["max_pool", "4"])
    cell = row[cost.titles.index("latency of an image, ms")]
    assert (cell.text, cell.detail) == ("7.10", "± 1.27, n = 2")  # of 8.0 and 6.2
    assert row[cost.titles.index("parameters")].text == "1,000"


def test_two_seeds_give_no_accuracy_above_100_percent():
    frame = pd.concat([accuracies({"strided_conv": [0.70, 0.7560], "a": [0.9, 1.0]})], ignore_index=True)
    table = find(read_ablation(frame), "a folder", []).tables[0]
    shown = [row[table.titles.index("test accuracy, %")].detail for row in table.rows]
    assert shown == ["(37.22 to 100.00)", "(31.47 to 100.00)"]
