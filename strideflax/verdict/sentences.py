"""What a study says, in sentences."""

import math

from strideflax.analysis.published import MARGIN
from strideflax.analysis.sequential import EQUAL, FIRST_LOOK, GAIN, LAST_LOOK, LOSS, Standing
from strideflax.verdict.images import StudyImages
from strideflax.verdict.study import MOST_LOST_PAIRS, Study, Verdict
from strideflax.wording import counted, duration


def sentence(verdict: Verdict, images: StudyImages) -> str:
    """Return what the pairs say of one operator, in one sentence."""
    operator, baseline, standing = verdict.operator, verdict.baseline, verdict.standing
    where = f"On {_named(images)}, "
    if verdict.lost > MOST_LOST_PAIRS:
        return f"{where}{operator} and {baseline} can't be compared, as {_lost(verdict)}."
    pairs = counted(standing.pairs, "pair")
    if not verdict.learned:
        return (
            f"{where}neither {operator} nor {baseline} learned anything: {verdict.accuracy:.1%} and "
            f"{verdict.baseline_accuracy:.1%} of the test images are right, {images.chance:.1%} by chance, in {pairs}; "
            "give them more time."
        )
    if verdict.lost:
        pairs += f" ({_lost(verdict)})"
    cost = _cost(verdict.cost)
    if standing.outcome == GAIN:
        return f"{where}{operator} gains {_points(standing, 1)}{cost}; {pairs}."
    if standing.outcome == LOSS:
        return f"{where}{operator} loses {_points(standing, -1)}{cost}; {pairs}."
    if standing.outcome == EQUAL:
        return f"{where}{operator} is within half a point of {baseline}, {_signed_points(standing)}{cost}; {pairs}."
    if math.isnan(standing.low):
        return f"{where}{operator} can't be told from {baseline} yet: {pairs}, and an interval takes {FIRST_LOOK}."
    if len(verdict.differences) >= LAST_LOOK:
        end = ", the most that the rule allows"
    elif verdict.pairs_expected is not None:
        end = f"; about {verdict.pairs_expected} like these would tell"
    else:
        end = f"; even {LAST_LOOK} like these would not tell"
    return f"{where}{operator} can't be told from {baseline}: {_signed_points(standing)}{cost}; {pairs}{end}."


def footnote(images: StudyImages, comparisons: int) -> str:
    """Return what a reader has to know about the intervals."""
    together = {1: "", 2: " for both operators together"}.get(comparisons, f" for all {comparisons} operators together")
    return (
        f"In brackets 95 % intervals{together} that hold however often they are looked at. They are about further seeds on "
        f"these {counted(images.test_count, 'test image')}, each of which is {100 / images.test_count:.2g} points; cost is "
        "multiply-adds per image."
    )


def time_is_up(study: Study, spent_seconds: float) -> str:
    """Say that a study's time did not suffice, and whether planned pairs are missing."""
    run = min(study.pairs_run(operator) for operator in study.operators[1:])
    missing = ""
    if study.planned_pairs is not None and run < study.planned_pairs:
        missing = f", before the {study.planned_pairs} planned pairs, after which the intervals are narrow"
    return f"The time is up after {duration(spent_seconds)}{missing}; the same command with more --minutes goes on."


def standing_in_short(verdict: Verdict) -> str:
    """Return where an operator stands after some pairs, for a line while the study goes on."""
    standing = verdict.standing
    if verdict.lost > MOST_LOST_PAIRS:
        return f"{verdict.operator} failed"
    if not verdict.learned:
        return f"{verdict.operator} no better than chance"
    if math.isnan(standing.low):
        return f"{verdict.operator} too few pairs"
    settled = f", settled by {counted(standing.pairs, 'pair')}" if verdict.is_settled else ""
    return f"{verdict.operator} {_signed(standing)} ({_interval(standing, 1)}){settled}"


def _named(images: StudyImages) -> str:
    count = counted(images.count, "image")
    return f"your {count}" if images.is_own else f"{count} of {images.name}"


def _lost(verdict: Verdict) -> str:
    return f"{counted(verdict.lost, 'pair')} had a run without a result: {verdict.error}"


def _cost(ratio: float) -> str:
    if math.isnan(ratio):
        return ""
    return " at the same cost" if round(ratio, 1) == 1 else f" at {ratio:.1f} times the cost"


def _points(standing: Standing, sign: int) -> str:
    """Return a gain or a loss (``sign`` -1) and its interval in percentage points, without a sign."""
    return f"{_number(sign * standing.difference, standing)} points ({_interval(standing, sign)})"


def _signed_points(standing: Standing) -> str:
    return f"{_signed(standing)} points ({_interval(standing, 1)})"


def _signed(standing: Standing) -> str:
    return f"{'+' if standing.difference > 0 else ''}{_number(standing.difference, standing)}"


def _interval(standing: Standing, sign: int) -> str:
    low, high = sorted((sign * standing.low, sign * standing.high))
    return f"{_number(low, standing)} to {_number(high, standing)}"


def _number(share: float, standing: Standing) -> str:
    """Return a share in percentage points: one decimal, or two if an end of the interval is close to 0, or all is."""
    ends = (abs(standing.low), abs(standing.high))
    decimals = 2 if min(ends) < 0.0005 or max(ends) < MARGIN else 1
    return f"{100 * share:.{decimals}f}".replace("-", "\N{MINUS SIGN}")
