"""An ablation's figures."""

from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from strideflax.analysis.ablation import BATCH_LATENCY, LATENCY, OPERATOR, Ablation, Condition
from strideflax.analysis.fields import is_share
from strideflax.analysis.run_table import FINISHED
from strideflax.report.canvas import (
    BLACK,
    COLOURS,
    GREY,
    MARKERS,
    STYLE,
    Drawing,
    as_drawing,
    new_figure,
    percent_limits,
)
from strideflax.report.labels import label_ends, label_points
from strideflax.wording import capitalized


@dataclass(frozen=True)
class Tradeoff:
    """A figure of accuracy against another column.

    Attributes:
        name: of its file.
        against: of the score, in the figure's title.
        axis: what is written below it.
        scale: from the column's unit to the axis's.
        more_is_better: whether the column is a gain and not a cost.
    """

    name: str
    against: str
    axis: str
    scale: float = 1.0
    more_is_better: bool = False


TRADEOFFS = {
    "macs": Tradeoff("macs", "computation", "million MACs for one image", 1e-6),
    LATENCY: Tradeoff("latency", "latency", "median latency of one image in ms"),
    BATCH_LATENCY: Tradeoff(
        "batch_latency",
        "latency of a batch",
        "median latency of a training batch's inference in ms",
    ),
}
TRADEOFF_WITH_CONSISTENCY = Tradeoff(
    "shift_consistency",
    "shift consistency",
    "shift consistency in %, reflected border, up to 4 pixels",
    100,
    more_is_better=True,
)


def draw_figures(ablation: Ablation, curves: pd.DataFrame | None) -> tuple[list[Drawing], list[str]]:
    """Return the figures that the runs have the numbers for, and a line for each that is left out."""
    drawings = [draw_accuracy(ablation)]
    left_out = []
    if len(ablation.operators) > 1:
        drawings += [draw_differences(ablation), draw_seeds(ablation)]
    else:
        left_out.append("differences and paired seeds: there is only one operator")
    score = ablation.score
    for column in (*TRADEOFFS, score.consistency):
        if ablation.table[column].isna().all():
            left_out.append(f"{score.words} against {_tradeoff(ablation, column).against}: no run has {column}")
        else:
            drawings.append(draw_tradeoff(ablation, column))
    if curves is None or score.validation not in curves or curves[score.validation].isna().all():
        left_out.append(
            "learning curves: they are in the run folders, and these results come without validation curves"
        )
    else:
        drawings.append(draw_curves(ablation, curves))
    return drawings, left_out


def _tradeoff(ablation: Ablation, column: str) -> Tradeoff:
    return TRADEOFF_WITH_CONSISTENCY if column == ablation.score.consistency else TRADEOFFS[column]


@matplotlib.rc_context(STYLE)
def draw_accuracy(ablation: Ablation) -> Drawing:
    """Draw each operator's mean test score and its interval, one colour per setting."""
    names = ablation.operators[::-1]
    figure, (axes,) = new_figure(1, height=0.9 + 0.28 * len(names))
    _draw_intervals(axes, ablation, names, ["mean", "low", "high"])
    words = ablation.score.words
    axes.set_xlabel(f"test {words} in %")
    axes.set_xlim(percent_limits(axes.get_xlim()))
    caption = f"Mean test {words} over seeds; bars are 95 % intervals of the mean (Student's t, cut at 0 and 100 %)."
    return as_drawing(figure, "accuracy", f"Test {words}", caption)


@matplotlib.rc_context(STYLE)
def draw_differences(ablation: Ablation) -> Drawing:
    """Draw the paired differences from the baseline with their intervals, one colour per setting."""
    names = ablation.operators[:0:-1]  # all but the baseline, which is the first
    figure, (axes,) = new_figure(1, height=0.9 + 0.28 * len(names))
    axes.axvline(0, color=GREY, linewidth=1)
    _draw_intervals(axes, ablation, names, ["difference", "difference_low", "difference_high"])
    axes.set_xlabel(f"percentage points from {ablation.baseline}")
    caption = "Mean of the differences between runs with the same seed; bars are 95 % paired bootstrap intervals."
    return as_drawing(figure, "differences", f"Gain over {ablation.baseline}", caption)


def _draw_intervals(axes: Axes, ablation: Ablation, names: list[str], columns: list[str]) -> None:
    """Draw a row per operator of ``names`` with a point and a bar per setting: ``columns`` are middle, low and high."""
    conditions = ablation.conditions()
    apart = 0.6 / max(len(conditions), 2)
    for index, condition in enumerate(conditions):
        rows = condition.rows[condition.rows[OPERATOR].isin(names)]
        shift = apart * ((len(conditions) - 1) / 2 - index)  # settings lie side by side, the first one above
        heights = [names.index(name) + shift for name in rows[OPERATOR]]
        middle, low, high = 100 * rows[columns].to_numpy().T
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        axes.hlines(heights, low, high, color=colour, linewidth=1.6)
        axes.plot(middle, heights, marker, color=colour, markersize=5, label=condition.name, clip_on=False)
    _name_rows(axes, names)
    if len(conditions) > 1:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, handletextpad=0.2, borderaxespad=0.2
        )


@matplotlib.rc_context(STYLE)
def draw_seeds(ablation: Ablation) -> Drawing:
    """Draw every run, and join those with the same seed."""
    names = ablation.operators[::-1]
    conditions = ablation.conditions()
    figure, panels = new_figure(len(conditions), height=0.7 + 0.2 * len(names))
    for axes, condition in zip(panels, conditions, strict=True):
        table = condition.runs.pivot(index=OPERATOR, columns="seed", values=ablation.score.test).reindex(names) * 100
        for seed in table:
            axes.plot(table[seed], range(len(names)), color="#bbbbbb", linewidth=0.8, zorder=1)
        for height, name in enumerate(names):
            points = table.loc[name].dropna()
            colour = _colour(ablation, name)
            axes.plot(points, [height] * len(points), "o", color=colour, markersize=4, alpha=0.85, clip_on=False)
        _name_rows(axes, names)
        axes.set_xlim(percent_limits(axes.get_xlim()))
        axes.set(title=condition.name, xlabel=f"test {ablation.score.words} in %")
    caption = "One point per run; a line joins the runs of one seed, which saw the same images in the same order."
    return as_drawing(figure, "seeds", "Every seed", caption)


def _name_rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)


@matplotlib.rc_context(STYLE)
def draw_tradeoff(ablation: Ablation, column: str) -> Drawing:
    """Draw the score against a cost (or, for consistency, a second gain) and the Pareto front.

    Args:
        ablation: what to draw.
        column: one of `TRADEOFFS`, or the score's consistency.
    """
    tradeoff = _tradeoff(ablation, column)
    conditions = ablation.conditions()
    figure, panels = new_figure(len(conditions), height=2.4 + 0.06 * len(ablation.operators))
    for axes, condition in zip(panels, conditions, strict=True):
        _draw_tradeoff_panel(axes, ablation, condition, column)
        axes.set(title=condition.name, xlabel=tradeoff.axis, ylabel=f"test {ablation.score.words} in %")
    better = "right" if tradeoff.more_is_better else "left"
    caption = (
        f"Up and to the {better} is better. No point beats the large ones, the Pareto front, in both. Upright bars are 95 % "
        f"intervals of the mean {ablation.score.words}, level ones the standard deviation over runs."
    )
    return as_drawing(figure, tradeoff.name, f"{capitalized(ablation.score.words)} against {tradeoff.against}", caption)


def _draw_tradeoff_panel(axes: Axes, ablation: Ablation, condition: Condition, column: str) -> None:
    tradeoff = _tradeoff(ablation, column)
    known = condition.rows.dropna(subset=[column, "mean"])
    x, y = known[column].to_numpy() * tradeoff.scale, known["mean"].to_numpy() * 100
    front = pareto_front(-x if tradeoff.more_is_better else x, y)
    order = np.argsort(x[front])
    axes.plot(x[front][order], y[front][order], "--", color=GREY, linewidth=1, zorder=1)
    spread = known[f"{column}, sd"].to_numpy() * tradeoff.scale  # NaN, and so not drawn, for one run
    low, high = known["low"].to_numpy() * 100, known["high"].to_numpy() * 100
    colours = [_colour(ablation, name) for name in known[OPERATOR]]
    for i, colour in enumerate(colours):
        axes.plot([x[i], x[i]], [low[i], high[i]], color=colour, linewidth=1, alpha=0.6)
        axes.plot([x[i] - spread[i], x[i] + spread[i]], [y[i], y[i]], color=colour, linewidth=1, alpha=0.6)
        axes.plot(x[i], y[i], "o", color=colour, markersize=6 if front[i] else 4)
    axes.margins(0.18, 0.12)
    axes.set_ylim(percent_limits(axes.get_ylim()))
    if is_share(column):
        axes.set_xlim(percent_limits(axes.get_xlim()))
    label_points(axes, x, y, list(known[OPERATOR]), colours)


@matplotlib.rc_context(STYLE)
def draw_curves(ablation: Ablation, curves: pd.DataFrame) -> Drawing:
    """Draw the validation score after each epoch, averaged over the finished runs of each operator."""
    conditions = ablation.conditions()
    figure, panels = new_figure(len(conditions), height=2.4 + 0.06 * len(ablation.operators))
    for axes, condition in zip(panels, conditions, strict=True):
        finished = condition.runs.loc[condition.runs["status"] == FINISHED, ["run", OPERATOR]]
        joined = curves.merge(finished, on="run")
        _draw_curves_panel(
            axes, ablation, joined.groupby([OPERATOR, "epoch"])[ablation.score.validation].mean().unstack(0) * 100
        )
        axes.set_title(condition.name)
    caption = f"Validation {ablation.score.words} after each epoch, mean over the seeds that finished."
    return as_drawing(figure, "curves", "Learning curves", caption)


def _draw_curves_panel(axes: Axes, ablation: Ablation, means: pd.DataFrame) -> None:
    """Draw ``means``, epochs × operators, in percent."""
    ends = []
    for place, name in enumerate(ablation.operators):
        if name not in means:
            continue
        points = means[name].dropna()
        marker = "" if len(points) > 1 else "o"
        dash = "--" if place > len(COLOURS) else "-"  # where colours come round again
        colour = _colour(ablation, name)
        axes.plot(points.index, points, dash, marker=marker, color=colour, linewidth=1.4, clip_on=False)
        ends.append((float(points.iloc[-1]), name, colour))
    axes.set(xlabel="epoch", ylabel=f"validation {ablation.score.words} in %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(percent_limits(axes.get_ylim()))
    label_ends(axes, ends)
    axes.set_xlim(right=means.index.max())


def pareto_front(cost: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Return which points ``[n]`` no other beats: none has less cost and no less gain, or more gain at no more cost."""
    no_worse = (cost[None] <= cost[:, None]) & (gain[None] >= gain[:, None])
    better = (cost[None] < cost[:, None]) | (gain[None] > gain[:, None])
    return np.logical_not((no_worse & better).any(1))


def _colour(ablation: Ablation, operator: str) -> str:
    index = ablation.operators.index(operator)
    return BLACK if operator == ablation.baseline else COLOURS[(index - 1) % len(COLOURS)]
