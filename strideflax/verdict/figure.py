"""A study's figure: the pairs' differences and the intervals that they decided by."""

import math
from collections.abc import Sequence

import matplotlib

from strideflax.analysis.published import MARGIN
from strideflax.report.canvas import BLACK, COLOURS, GREY, STYLE, Drawing, as_drawing, new_figure
from strideflax.verdict.study import Verdict


@matplotlib.rc_context(STYLE)
def draw_verdicts(verdicts: Sequence[Verdict]) -> Drawing:
    """Draw a row per operator: a small point per pair, their mean, and its interval."""
    names = [verdict.operator for verdict in verdicts]
    baseline = verdicts[0].baseline
    figure, (axes,) = new_figure(1, height=1.0 + 0.45 * len(names))
    axes.axvspan(-100 * MARGIN, 100 * MARGIN, color="#eeeeee", zorder=0)
    axes.axvline(0, color=GREY, linewidth=1, zorder=1)
    for row, verdict in enumerate(verdicts):
        standing = verdict.standing
        height, colour = len(names) - 1 - row, COLOURS[row % len(COLOURS)]
        differences = [100 * difference for difference in verdict.differences[: standing.pairs]]
        axes.plot(differences, [height - 0.22] * len(differences), "o", color=colour, markersize=3, alpha=0.6)
        if not math.isnan(standing.low):
            axes.hlines(height, 100 * standing.low, 100 * standing.high, color=colour, linewidth=2)
        if differences:
            axes.plot(100 * standing.difference, height, "D", color=colour, markersize=5)
    axes.set_yticks(range(len(names)), names[::-1], color=BLACK)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"percentage points of test accuracy from {baseline}")
    caption = (
        "Small points: differences between runs with the same seed. Above them their mean and the interval that the study "
        f"decided by. Grey: within half a point of {baseline}."
    )
    return as_drawing(figure, "verdict", f"The verdict: difference from {baseline}", caption)
