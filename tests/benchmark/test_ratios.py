"""Comparison and floors on contenders whose times are given, so that every ratio is known."""

import math

import pytest
from benchmark.clock import RESULTS, Clock, workers

from strideflax.benchmark.floors import ATTEMPTS, Floor, check_floors
from strideflax.benchmark.ratios import differences, introduce, measure_ratios, ratio
from strideflax.benchmark.workloads import OperatorCall, Product, Step

CONV = OperatorCall(operator="conv", window=3, stride=2, size=8, in_features=3, out_features=5, batch=2)
STEP = Step(label="x", config={"batch_size": 10, "model": {"dtype": "float32"}})
NET = {"params": 5, "macs": 7, "logits": [[1.0, -4.0]], "loss_sum": 6.9}


def test_a_ratio_is_the_rivals_time_over_ours_round_by_round():
    found = ratio([4.0, 9.0, 5.0], [2.0, 3.0, 5.0])
    assert found == {"median": 2.0, "lowest": 1.0, "highest": 3.0, "rounds": [2.0, 3.0, 1.0]}


def test_contenders_take_turns():
    (row,) = measure_ratios(workers(Clock("auto", 2, 3, 5), Clock("lax", 4, 9, 5)), [CONV], rounds=3)
    assert Clock.log == [("auto", "prepare"), ("lax", "prepare"), *[("auto", "measure"), ("lax", "measure")] * 3]
    assert row["ratios"]["lax"]["rounds"] == [2.0, 3.0, 1.0]
    assert row["times"]["auto"]["medians_ms"] == [2, 3, 5]
    assert row["times"]["auto"]["gflops_per_second"] == pytest.approx(CONV.flops / 3e-3 / 1e9)
    assert row["workload"]["kind"] == "operator"
    assert "failed" not in row
    assert "differs" not in row


def test_a_training_step_is_told_in_images_per_second():
    (row,) = measure_ratios(workers(Clock("auto", 20, facts=NET), Clock("torch", 40, facts=NET)), [STEP], rounds=1)
    assert row["times"]["torch"]["images_per_second"] == 250
    assert row["ratios"]["torch"]["median"] == 2


def test_a_rival_that_computes_something_else_gets_no_ratio():
    other = Clock("torch", 9, facts=NET | {"logits": [[1.0, -4.001]]})
    (row,) = measure_ratios(workers(Clock("auto", 20, facts=NET), other), [STEP], rounds=2)
    assert row["ratios"] == {}
    assert row["differs"] == {"torch": "logits off by 2.5e-04"}
    assert ("torch", "measure") not in Clock.log


@pytest.mark.parametrize("when", ["prepare", "measure"])
def test_a_rival_that_fails_is_named_and_the_others_go_on(when):
    broken = Clock("torch", 9, broken=when)
    (row,) = measure_ratios(workers(Clock("auto", 2), Clock("lax", 4), broken), [CONV], rounds=2)
    assert row["failed"] == {"torch": "ValueError: no"}
    assert row["ratios"].keys() == {"lax"}


def test_without_strideflax_there_is_no_ratio():
    (row,) = measure_ratios(workers(Clock("auto", 2, broken="prepare"), Clock("lax", 4)), [CONV], rounds=1)
    assert row["ratios"] == {}
    assert row["failed"] == {"auto": "ValueError: no"}


def test_a_contender_that_cannot_start_says_why():
    about = introduce(workers(Clock("auto"), Clock("torch_compile", broken="describe")))
    assert about["auto"]["device"] == "a clock"
    assert about["torch_compile"]["left_out"] == "ValueError: no"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"logits": [[1.00001, -4.00001]]}, ""),
        ({"params": 6}, "params 6 instead of 5"),
        ({"macs": 8}, "macs 8 instead of 7"),
        ({"logits": [[1.0, -4.001]]}, "logits off by 2.5e-04"),
        ({"logits": [[1.0, math.nan]]}, "logits off by nan"),
        ({"loss_sum": 6.91}, "summed losses 6.91 instead of 6.9"),
        ({"loss_sum": math.nan}, "summed losses nan instead of 6.9"),
    ],
)
def test_networks_differ_by_more_than_rounding(changed, said):
    assert differences(NET, NET | changed, STEP) == said


@pytest.mark.parametrize(
    ("dtype", "theirs", "said"),
    [
        ("float32", [[1.0, 2.0], [3.0, 3.0]], ""),
        ("float32", [[1.0, 2.0], [3.1, 3.0]], "result 1 off by 3.3e-02"),
        ("float32", [[1.0, 2.0]], "1 results instead of 2"),
        ("bfloat16", [[1.0, 2.0], [9.0, 3.0]], ""),  # gradients of maxima that tie
        ("bfloat16", [[1.5, 2.0], [3.0, 3.0]], "result 0 off by 2.5e-01"),
    ],
)
def test_operators_differ_by_more_than_rounding(dtype, theirs, said):
    workload = OperatorCall(operator="max_pool", window=2, stride=2, size=8, in_features=3, out_features=3, dtype=dtype)
    assert differences({"results": [[1.0, 2.0], [3.0, 3.0]]}, {"results": theirs}, workload) == said


def test_products_are_compared_too():
    assert differences(RESULTS, {"results": [[1.5, 2.0]]}, Product()) == "result 0 off by 2.5e-01"


def test_a_floor_holds_at_once_or_after_another_measurement():
    slow_at_first = Clock("lax", 2, 2, 2, 4, 4, 4)
    first, second = check_floors(
        workers(Clock("auto", 2), slow_at_first), [Floor(CONV, 1.9), Floor(CONV, 0.9)], rounds=3
    )
    assert (first["passed"], first["attempts"], first["ratios"]["lax"]["median"]) == (True, 2, 2.0)
    assert (second["passed"], second["attempts"]) == (True, 1)


def test_a_regression_stays():
    (row,) = check_floors(workers(Clock("auto", 2), Clock("lax", 3)), [Floor(CONV, 1.6)], rounds=3)
    assert (row["passed"], row["attempts"]) == (False, ATTEMPTS)


def test_wrong_values_do_not_pass_however_fast():
    wrong = Clock("lax", 100, facts={"results": [[9.0, 2.0]]})
    (row,) = check_floors(workers(Clock("auto", 1), wrong), [Floor(CONV, 1.0)], rounds=1)
    assert (row["passed"], row["attempts"]) == (False, 1)
    assert row["differs"]
