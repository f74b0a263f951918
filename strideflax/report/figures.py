"""An ablation's figures, each an SVG that stands in a page by itself."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from strideflax.analysis.ablation import BATCH_LATENCY, CONSISTENCY, LATENCY, OPERATOR, Ablation, Condition
from strideflax.analysis.fields import is_share
from strideflax.analysis.run_table import FINISHED
from strideflax.report.labels import label_ends, label_points

# After Okabe and Ito, so that people with any colour vision tell them apart; black is the baseline's.
BLACK, *COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#9E6B00", "#56B4E9", "#7F7F7F")
MARKERS = "osD^vPX"
Panel = Callable[[Axes], None]
GREY = "#6e6e6e"
WIDTH_INCHES = 4.4
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Tradeoff:
    """A figure of accuracy against another column.

    Attributes:
        name: of its file.
        title: of the figure.
        axis: what is written below it.
        scale: from the column's unit to the axis's.
        more_is_better: whether the column is a gain and not a cost.
    """

    name: str
    title: str
    axis: str
    scale: float = 1.0
    more_is_better: bool = False


TRADEOFFS = {
    "macs": Tradeoff("macs", "Accuracy against computation", "million MACs for one image", 1e-6),
    LATENCY: Tradeoff("latency", "Accuracy against latency", "median latency of one image in ms"),
    BATCH_LATENCY: Tradeoff(
        "batch_latency",
        "Accuracy against latency of a batch",
        "median latency of a training batch's inference in ms",
    ),
    CONSISTENCY: Tradeoff(
        "shift_consistency",
        "Accuracy against shift consistency",
        "shift consistency in %, reflected border, up to 4 pixels",
        100,
        more_is_better=True,
    ),
}


@dataclass(frozen=True)
class Drawing:
    """A figure: a short name for its file, a title, what it shows in words, and the picture as an SVG element and as PNG."""

    name: str
    title: str
    caption: str
    svg: str = field(repr=False)
    png: bytes = field(repr=False)

    def _repr_png_(self) -> bytes:
        """Show the picture in a notebook."""
        return self.png


def draw_figures(ablation: Ablation, curves: pd.DataFrame | None) -> tuple[list[Drawing], list[str]]:
    """Return the figures that the runs have the numbers for, and a line for each that is left out."""
    drawings = [draw_accuracy(ablation)]
    left_out = []
    if len(ablation.operators) > 1:
        drawings += [draw_differences(ablation), draw_seeds(ablation)]
    else:
        left_out.append("differences and paired seeds: there is only one operator")
    for column, tradeoff in TRADEOFFS.items():
        if ablation.table[column].isna().all():
            left_out.append(f"{tradeoff.title[0].lower()}{tradeoff.title[1:]}: no run has {column}")
        else:
            drawings.append(draw_tradeoff(ablation, column))
    if curves is None or "val_accuracy" not in curves or curves["val_accuracy"].isna().all():
        left_out.append(
            "learning curves: they are in the run folders, and these results come without validation curves"
        )
    else:
        drawings.append(draw_curves(ablation, curves))
    return drawings, left_out


def draw_accuracy(ablation: Ablation) -> Drawing:
    """Draw each operator's mean test accuracy and its interval, one colour per setting."""
    names = ablation.operators[::-1]
    conditions = ablation.conditions()

    def draw(axes: Axes) -> None:
        for index, condition in enumerate(conditions):
            heights = _heights(condition.rows, names, index, len(conditions))
            _intervals(axes, heights, 100 * condition.rows[["mean", "low", "high"]], index, condition.name)
        _name_rows(axes, names, "test accuracy in %", has_legend=len(conditions) > 1)
        axes.set_xlim(_percent_limits(axes.get_xlim()))

    caption = "Mean test accuracy over seeds; bars are 95 % intervals of the mean (Student's t, cut at 0 and 100 %)."
    return _drawing("accuracy", "Test accuracy", caption, [draw], height=0.9 + 0.28 * len(names))


def draw_differences(ablation: Ablation) -> Drawing:
    """Draw the paired differences from the baseline with their intervals, one colour per setting."""
    names = ablation.operators[:0:-1]  # all but the baseline, which is the first
    conditions = ablation.conditions()

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=GREY, linewidth=1)
        for index, condition in enumerate(conditions):
            rows = condition.rows[condition.rows[OPERATOR] != ablation.baseline]
            heights = _heights(rows, names, index, len(conditions))
            columns = rows[["difference", "difference_low", "difference_high"]]
            _intervals(axes, heights, 100 * columns, index, condition.name)
        _name_rows(axes, names, f"percentage points from {ablation.baseline}", has_legend=len(conditions) > 1)

    caption = "Mean of the differences between runs with the same seed; bars are 95 % paired bootstrap intervals."
    title = f"Gain over {ablation.baseline}"
    return _drawing("differences", title, caption, [draw], height=0.9 + 0.28 * len(names))


def draw_seeds(ablation: Ablation) -> Drawing:
    """Draw every run, and join those with the same seed."""
    names = ablation.operators[::-1]

    def panel(condition: Condition) -> Panel:
        def draw(axes: Axes) -> None:
            table = condition.runs.pivot(index=OPERATOR, columns="seed", values="test_accuracy").reindex(names) * 100
            for seed in table:
                axes.plot(table[seed], range(len(names)), color="#bbbbbb", linewidth=0.8, zorder=1)
            for height, name in enumerate(names):
                points = table.loc[name].dropna()
                colour = _colour(ablation, name)
                axes.plot(points, [height] * len(points), "o", color=colour, markersize=4, alpha=0.85, clip_on=False)
            _name_rows(axes, names, "test accuracy in %", has_legend=False)
            axes.set_xlim(_percent_limits(axes.get_xlim()))
            axes.set_title(condition.name)

        return draw

    panels = [panel(condition) for condition in ablation.conditions()]
    caption = "One point per run; a line joins the runs of one seed, which saw the same images in the same order."
    return _drawing("seeds", "Every seed", caption, panels, height=0.7 + 0.2 * len(names))


def draw_tradeoff(ablation: Ablation, column: str) -> Drawing:
    """Draw accuracy against a cost (or, for consistency, a second gain) and the Pareto front.

    Args:
        ablation: what to draw.
        column: one of `TRADEOFFS`.
    """
    tradeoff = TRADEOFFS[column]

    def panel(condition: Condition) -> Panel:
        def draw(axes: Axes) -> None:
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
            axes.set_ylim(_percent_limits(axes.get_ylim()))
            if is_share(column):
                axes.set_xlim(_percent_limits(axes.get_xlim()))
            axes.set(title=condition.name, xlabel=tradeoff.axis, ylabel="test accuracy in %")
            label_points(axes, x, y, list(known[OPERATOR]), colours)

        return draw

    panels = [panel(condition) for condition in ablation.conditions()]
    better = "right" if tradeoff.more_is_better else "left"
    caption = (
        f"Up and to the {better} is better. No point beats the large ones, the Pareto front, in both. Upright bars are 95 % "
        "intervals of the mean accuracy, level ones the standard deviation over runs."
    )
    height = 2.4 + 0.06 * len(ablation.operators)
    return _drawing(tradeoff.name, tradeoff.title, caption, panels, height=height)


def draw_curves(ablation: Ablation, curves: pd.DataFrame) -> Drawing:
    """Draw the validation accuracy after each epoch, averaged over the finished runs of each operator."""
    operators = ablation.operators

    def panel(condition: Condition) -> Panel:
        def draw(axes: Axes) -> None:
            finished = condition.runs.loc[condition.runs["status"] == FINISHED, ["run", OPERATOR]]
            joined = curves.merge(finished, on="run")
            means = joined.groupby([OPERATOR, "epoch"])["val_accuracy"].mean().mul(100).unstack(0)
            ends = []
            for name in operators:
                if name not in means:
                    continue
                points = means[name].dropna()
                marker = "" if len(points) > 1 else "o"
                dash = "--" if operators.index(name) > len(COLOURS) else "-"  # where colours come round again
                colour = _colour(ablation, name)
                axes.plot(points.index, points, dash, marker=marker, color=colour, linewidth=1.4, clip_on=False)
                ends.append((float(points.iloc[-1]), name, colour))
            axes.set(title=condition.name, xlabel="epoch", ylabel="validation accuracy in %")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_ylim(_percent_limits(axes.get_ylim()))
            label_ends(axes, ends)
            axes.set_xlim(right=means.index.max())

        return draw

    panels = [panel(condition) for condition in ablation.conditions()]
    caption = "Validation accuracy after each epoch, mean over the seeds that finished."
    return _drawing("curves", "Learning curves", caption, panels, height=2.4 + 0.06 * len(operators))


def pareto_front(cost: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Return which points ``[n]`` no other beats: none has less cost and no less gain, or more gain at no more cost."""
    no_worse = (cost[None] <= cost[:, None]) & (gain[None] >= gain[:, None])
    better = (cost[None] < cost[:, None]) | (gain[None] > gain[:, None])
    return np.logical_not((no_worse & better).any(1))


def _drawing(name: str, title: str, caption: str, panels: list[Panel], *, height: float) -> Drawing:
    """Draw ``panels`` below each other, each ``height`` inches high."""
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH_INCHES, height * len(panels)))
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(panels), squeeze=False)[:, 0]
        for index, panel in enumerate(panels):
            panel(axes[index])
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None}, transparent=True)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=110)
    return Drawing(name, title, caption, _svg_element(file.getvalue(), title), picture.getvalue())


def _svg_element(document: str, title: str) -> str:
    """Return the SVG element of a whole file, such that several can stand on one page and each has a spoken title."""
    element = document[document.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'<g id="[^"]*"', "<g", element)  # several figures on one page must not share names
    return element.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)


def _percent_limits(limits: tuple[float, float]) -> tuple[float, float]:
    """Return an axis's limits without the part below 0 % or above 100 %."""
    low, high = limits
    return max(low, 0.0), min(high, 100.0)


def _colour(ablation: Ablation, operator: str) -> str:
    index = ablation.operators.index(operator)
    return BLACK if operator == ablation.baseline else COLOURS[(index - 1) % len(COLOURS)]


def _heights(rows: pd.DataFrame, names: list[str], index: int, conditions: int) -> list[float]:
    """Return where ``rows`` stand on an axis of ``names``; conditions lie side by side, the first one above."""
    apart = 0.6 / max(conditions, 2)
    shift = apart * ((conditions - 1) / 2 - index)
    return [names.index(name) + shift for name in rows[OPERATOR]]


def _intervals(axes: Axes, heights: list[float], values: pd.DataFrame, index: int, label: str) -> None:
    """Draw the columns middle, low and high of ``values`` as points with bars."""
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    middle, low, high = values.to_numpy().T
    axes.hlines(heights, low, high, color=colour, linewidth=1.6)
    axes.plot(middle, heights, marker, color=colour, markersize=5, label=label, clip_on=False)


def _name_rows(axes: Axes, names: list[str], xlabel: str, *, has_legend: bool) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(xlabel)
    if has_legend:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, handletextpad=0.2, borderaxespad=0.2
        )
