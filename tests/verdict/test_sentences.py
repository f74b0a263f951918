"""What a study says in each case."""

import dataclasses

import numpy as np
import pytest
from verdict.conftest import IMAGES, write_runs

from strideflax.analysis.sequential import decide, pairs_expected
from strideflax.verdict.figure import draw_verdicts
from strideflax.verdict.sentences import footnote, sentence, standing_in_short, time_is_up
from strideflax.verdict.study import Verdict

GAINS = [0.012, 0.011, 0.013, 0.012, 0.014, 0.010]


def verdict(differences: list[float], **changes) -> Verdict:
    values = np.array(differences)
    found = Verdict(
        operator="blur_pool",
        baseline="strided_conv",
        differences=tuple(differences),
        standing=decide(values, comparisons=2),
        pairs_expected=pairs_expected(values, comparisons=2),
        lost=0,
        error=None,
        accuracy=0.9,
        baseline_accuracy=0.88,
        cost=1.54,
        learned=True,
    )
    return dataclasses.replace(found, **changes)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            verdict(GAINS),
            "On your 2,062 images, blur_pool gains 1.2 points (0.8 to 1.6) at 1.5 times the cost; 4 pairs.",
        ),
        (
            verdict([-gain for gain in GAINS], cost=1.0),
            "On your 2,062 images, blur_pool loses 1.2 points (0.8 to 1.6) at the same cost; 4 pairs.",
        ),
        (
            verdict([0.0005, -0.0002, 0.0003, 0.0004, 0.0]),
            "On your 2,062 images, blur_pool is within half a point of strided_conv, +0.03 points (−0.12 to 0.17) at 1.5 times "
            "the cost; 4 pairs.",
        ),
        (
            verdict([0.02, -0.02, 0.01, 0.0, 0.01]),
            "On your 2,062 images, blur_pool can't be told from strided_conv: +0.4 points (−4.2 to 5.0) at 1.5 times the cost; "
            "5 pairs; even 30 like these would not tell.",
        ),
        (
            verdict([0.02, -0.005, 0.01, 0.0, 0.01]),
            "On your 2,062 images, blur_pool can't be told from strided_conv: +0.7 points (−2.3 to 3.7) at 1.5 times the cost; "
            "5 pairs; about 23 like these would tell.",
        ),
        (
            verdict([0.02, -0.02] * 15, lost=1, error="the loss is not finite"),
            "On your 2,062 images, blur_pool can't be told from strided_conv: 0.0 points (−1.2 to 1.2) at 1.5 times the cost; "
            "30 pairs (1 pair had a run without a result: the loss is not finite), the most that the rule allows.",
        ),
        (
            verdict([0.02, 0.02]),
            "On your 2,062 images, blur_pool can't be told from strided_conv yet: 2 pairs, and an interval takes 4.",
        ),
        (
            verdict([0.0, 0.001, 0.0, 0.001], accuracy=0.101, baseline_accuracy=0.1, learned=False),
            "On your 2,062 images, neither blur_pool nor strided_conv learned anything: 10.1% and 10.0% of the test images are "
            "right, 10.0% by chance, in 4 pairs; give them more time.",
        ),
        (
            verdict([], lost=4, error="out of memory"),
            "On your 2,062 images, blur_pool and strided_conv can't be compared, as 4 pairs had a run without a result: out of "
            "memory.",
        ),
    ],
)
def test_a_sentence_for_every_outcome(found: Verdict, expected: str):
    assert sentence(found, IMAGES) == expected


def test_a_published_set_is_named():
    shapes = dataclasses.replace(IMAGES, name="shapes", is_own=False)
    assert sentence(verdict(GAINS), shapes).startswith("On 2,062 images of shapes, blur_pool gains")


def test_an_interval_that_ends_close_to_0_has_two_decimals():
    found = verdict(GAINS)
    close = dataclasses.replace(found.standing, low=0.0003)
    assert "gains 1.20 points (0.03 to 1.59)" in sentence(dataclasses.replace(found, standing=close), IMAGES)


def test_the_footnote_says_what_the_intervals_are_about():
    assert "intervals for both operators together that" in footnote(IMAGES, 2)
    assert "intervals for all 3 operators together that" in footnote(IMAGES, 3)
    assert "together" not in footnote(IMAGES, 1)
    assert "these 412 test images, each of which is 0.24 points" in footnote(IMAGES, 2)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (verdict(GAINS), "blur_pool +1.2 (0.8 to 1.6), settled by 4 pairs"),
        (verdict([0.02, -0.02, 0.01, 0.0, 0.01]), "blur_pool +0.4 (−4.2 to 5.0)"),
        (verdict([0.02]), "blur_pool too few pairs"),
        (verdict([0.0], learned=False), "blur_pool no better than chance"),
        (verdict([], lost=4), "blur_pool failed"),
    ],
)
def test_a_line_while_the_study_goes_on(found: Verdict, expected: str):
    assert standing_in_short(found) == expected


def test_the_end_of_the_time_tells_of_planned_pairs_that_are_missing(study):
    planned = dataclasses.replace(study, planned_pairs=2)
    for operator in study.operators:
        write_runs(study, operator, [0.5])
    goes_on = "; the same command with more --minutes goes on."
    assert time_is_up(planned, 1200) == (
        f"The time is up after 20 min, before the 2 planned pairs, after which the intervals are narrow{goes_on}"
    )
    assert time_is_up(study, 1200) == f"The time is up after 20 min{goes_on}"
    for operator in study.operators:
        write_runs(study, operator, [0.5], first=1)
    assert time_is_up(planned, 1200) == f"The time is up after 20 min{goes_on}"


def test_the_figure_has_a_row_for_each_operator_with_and_without_an_interval():
    others = dataclasses.replace(verdict([0.01, 0.02]), operator="max_pool")
    drawing = draw_verdicts([verdict(GAINS), others, dataclasses.replace(verdict([]), operator="aps")])
    for name in ("blur_pool", "max_pool", "aps"):
        assert f">{name}</text>" in drawing.svg
    assert drawing.svg.count("<use ") >= 4 + 2
