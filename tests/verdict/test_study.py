"""Where operators stand by the runs in a study's folder."""

import json
from dataclasses import replace

import numpy as np
import pytest
from verdict.conftest import write_runs

from strideflax.analysis.sequential import decide
from strideflax.errors import UserError
from strideflax.verdict.record import RECORD, read_study, write_study
from strideflax.verdict.schedule import Schedule
from strideflax.verdict.study import check_operators


def test_pairs_are_runs_of_the_same_seed(study):
    seeds = {study.run(operator, 3).config.seed for operator in study.operators}
    assert seeds == {study.config.seed + 3}
    operators = [run.config.model.downsample for run in study.runs(["max_pool"], range(2))]
    assert operators == ["strided_conv", "max_pool"] * 2


def test_a_pair_counts_once_both_of_its_runs_have_ended(study):
    write_runs(study, "strided_conv", [0.5, 0.6, 0.7])
    write_runs(study, "blur_pool", [0.6, 0.7])
    assert study.pairs_run("blur_pool") == 2
    verdict = study.verdict("blur_pool")
    assert verdict.differences == pytest.approx((0.1, 0.1))
    assert (verdict.accuracy, verdict.baseline_accuracy, verdict.cost) == pytest.approx((0.65, 0.55, 1.54))
    assert not verdict.is_settled
    assert study.pairs_run("max_pool") == 0


def test_an_operator_is_settled_by_the_first_look_that_decides(study):
    write_runs(study, "strided_conv", [0.50, 0.51, 0.52, 0.53, 0.54])
    write_runs(study, "blur_pool", [0.60, 0.611, 0.619, 0.63, 0.1])
    verdict = study.verdict("blur_pool")
    assert (verdict.standing.outcome, verdict.standing.pairs, verdict.is_settled) == ("gain", 4, True)


def test_networks_that_learned_nothing_are_settled_but_never_equal(study):
    write_runs(study, "strided_conv", [0.1] * 6)
    write_runs(study, "blur_pool", [0.1] * 6)
    verdict = study.verdict("blur_pool")
    assert (verdict.learned, verdict.is_settled, verdict.standing.pairs) == (False, True, 4)
    assert verdict.standing.outcome == "equal"


@pytest.mark.parametrize(
    ("accuracies", "settled_by"),
    [
        ([0.60, 0.611, 0.619, 0.63, 0.1, 0.1, 0.1], 4),
        ([0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9], 4),
        ([0.6, None, None, None, None, 0.6, 0.6, 0.6], 5),
    ],
)
def test_pairs_beyond_the_one_that_settled_change_nothing(study, accuracies, settled_by):
    write_runs(
        study, "strided_conv", [0.1] * 8 if accuracies[0] == 0.1 else [0.50, 0.51, 0.52, 0.53, 0.54, 0.5, 0.5, 0.5]
    )
    write_runs(study, "blur_pool", accuracies[:settled_by])
    verdict = study.verdict("blur_pool")
    assert verdict.is_settled
    write_runs(study, "blur_pool", accuracies[settled_by:], first=settled_by)
    assert study.pairs_run("blur_pool") == len(accuracies)
    assert repr(study.verdict("blur_pool")) == repr(verdict)  # NaN never equals itself


def test_lost_pairs_are_counted_and_too_many_give_an_operator_up(study):
    write_runs(study, "strided_conv", [0.5] * 6)
    write_runs(study, "blur_pool", [None, 0.6, None, None])
    verdict = study.verdict("blur_pool")
    assert (verdict.lost, verdict.error, verdict.standing.pairs, verdict.is_settled) == (3, "out of memory", 1, False)
    write_runs(study, "blur_pool", [None], first=4)
    assert study.verdict("blur_pool").is_settled


def test_a_plan_decides_what_looks_of_one_level_would_not(study):
    write_runs(study, "strided_conv", [0.50, 0.51, 0.52, 0.53, 0.54, 0.55])
    write_runs(study, "blur_pool", [0.53, 0.56, 0.55, 0.58, 0.57, 0.60])
    write_runs(study, "max_pool", [0.52, 0.57, 0.53, 0.60, 0.55, 0.57])
    planned = replace(study, planned_pairs=6)
    assert study.verdict("max_pool").standing.outcome == "undecided"
    verdict = planned.verdict("blur_pool")
    assert (verdict.standing.outcome, verdict.standing.pairs) == ("gain", 6)
    undecided = planned.verdict("max_pool")
    assert undecided.standing.low < 0 < undecided.standing.low + 0.02
    assert undecided.pairs_expected is not None


def test_a_study_goes_on_by_the_rule_that_it_began_with(study):
    """Studies of the time before plans were part of the rule have no planned pairs in their record."""
    study.folder.mkdir()
    planned = replace(study, planned_pairs=6)
    write_study(planned, study.config, Schedule(epochs=1.0, steps=10, pairs=6, pair_seconds=1.0))
    assert read_study(study)[0].planned_pairs == 6
    record = study.folder / RECORD
    values = json.loads(record.read_text())
    del values["planned_pairs"]
    record.write_text(json.dumps(values))
    assert read_study(study)[0].planned_pairs is None


def test_the_last_look_settles_even_if_pairs_were_lost(study):
    write_runs(study, "strided_conv", [0.5] * 30)
    write_runs(study, "blur_pool", [None, *[0.4, 0.6] * 14, 0.4])
    verdict = study.verdict("blur_pool")
    assert (verdict.standing.outcome, verdict.standing.pairs, verdict.is_settled) == ("undecided", 29, True)


@pytest.mark.parametrize(
    ("operators", "message"),
    [
        (["strided_conv", "blurpool"], "unknown downsampling operator 'blurpool'; known: strided_conv"),
        (["strided_conv", ""], "unknown downsampling operator ''"),
        (
            ["blur_pool", "max_pool"],
            "must hold the baseline strided_conv, got blur_pool,max_pool; add it, or choose --base",
        ),
        (["strided_conv"], "must hold an operator beside the baseline, got strided_conv alone"),
        (["strided_conv", "max_pool", "max_pool"], "names max_pool twice"),
    ],
)
def test_operators_that_cannot_be_compared_are_refused(study, operators, message):
    with pytest.raises(UserError, match=message):
        check_operators(study.config, operators, "strided_conv")


def test_the_baseline_comes_first(study):
    assert check_operators(study.config, ["blur_pool", "max_pool", "strided_conv"], "max_pool") == (
        "max_pool",
        "blur_pool",
        "strided_conv",
    )


def test_the_operators_share_the_error_and_accuracies_are_known_to_an_image(study):
    """Pairs that would decide if there were one operator, or if accuracies of 412 images were exact."""
    write_runs(study, "strided_conv", [0.5] * 4)
    write_runs(study, "blur_pool", [0.504, 0.504, 0.5041, 0.5039])
    verdict = study.verdict("blur_pool")
    assert (verdict.standing.outcome, verdict.pairs_expected) == ("undecided", 5)
    differences = np.array(verdict.differences)
    assert verdict.standing == decide(differences, comparisons=2, resolution=1 / 412)
    for comparisons, resolution in ((1, 1 / 412), (2, 0.0)):
        assert decide(differences, comparisons=comparisons, resolution=resolution).outcome == "gain"
