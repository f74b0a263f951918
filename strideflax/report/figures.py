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

from strideflax.analysis.ablation import BATCH_LATENCY, CONSISTENCY, LATENCY, OPERATOR, Ablation
from strideflax.report.labels import label_ends, label_points

# After Okabe and Ito, so that people with any colour vision tell them apart; black is the baseline's.
BLACK, *COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#9E6B00", "#56B4E9", "#7F7F7F")
MARKERS = "osD^vPX"
# column, name of the file, what accuracy is drawn against, the axis, the factor from the column's unit to the axis's
TRADEOFFS = (
    ("macs", "macs", "computation", "million MACs for one image", 1e-6),
    (LATENCY, "latency", "latency", "median latency of one image in ms", 1),
    (BATCH_LATENCY, "batch_latency", "latency of a batch", "median latency of a training batch's inference in ms", 1),
    (
        CONSISTENCY,
        "shift_consistency",
        "shift consistency",
        "shift consistency in %, reflected border, up to 4 pixels",
        100,
    ),
)
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
    for column, name, other, axis, scale in TRADEOFFS:
        if ablation.table[column].isna().all():
            left_out.append(f"accuracy against {other}: no run has {column}")
        else:
            title = f"Accuracy against {other}"
            drawings.append(draw_tradeoff(ablation, column, name=name, title=title, axis=axis, scale=scale))
    if curves is None or "val_accuracy" not in curves or curves["val_accuracy"].isna().all():
        left_out.append(
            "learning curves: they are in the run folders, and these results come without validation curves"
        )
    else:
        drawings.append(draw_curves(ablation, curves))
    return drawings, left_out


def draw_accuracy(ablation: Ablation) -> Drawing:
    """Draw each operator's mean test accuracy and its interval, one colour a setting."""
    names = ablation.operators[::-1]

    def draw(axes: Axes) -> None:
        for i, (label, rows, _) in enumerate(ablation.cells()):
            heights = _offsets(rows, names, i, len(ablation.cells()))
            _intervals(axes, heights, 100 * rows[["mean", "low", "high"]], i, label)
        _name_rows(axes, names, "test accuracy in %", len(ablation.cells()))

    caption = "Mean test accuracy over seeds; bars are 95 % intervals of the mean (Student's t)."
    return _drawing("accuracy", "Test accuracy", caption, draw, height=0.9 + 0.28 * len(names))


def draw_differences(ablation: Ablation) -> Drawing:
    """Draw the paired differences from the baseline with their intervals, one colour a setting."""
    names = [name for name in ablation.operators[::-1] if name != ablation.baseline]

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=GREY, linewidth=1)
        for i, (label, rows, _) in enumerate(ablation.cells()):
            rows = rows[rows[OPERATOR] != ablation.baseline]
            columns = rows[["difference", "difference_low", "difference_high"]]
            _intervals(axes, _offsets(rows, names, i, len(ablation.cells())), 100 * columns, i, label)
        _name_rows(axes, names, f"percentage points from {ablation.baseline}", len(ablation.cells()))

    caption = "Mean of the differences between runs with the same seed; bars are 95 % paired bootstrap intervals."
    title = f"Gain over {ablation.baseline}"
    return _drawing("differences", title, caption, draw, height=0.9 + 0.28 * len(names))


def draw_seeds(ablation: Ablation) -> Drawing:
    """Draw every run, and join those with the same seed."""
    names = ablation.operators[::-1]

    def panel(label: str, rows: pd.DataFrame, runs: pd.DataFrame) -> Callable[[Axes], None]:
        def draw(axes: Axes) -> None:
            table = runs.pivot(index=OPERATOR, columns="seed", values="test_accuracy").reindex(names) * 100
            for seed in table:
                axes.plot(table[seed], range(len(names)), color="#bbbbbb", linewidth=0.8, zorder=1)
            for i, name in enumerate(names):
                points = table.loc[name].dropna()
                axes.plot(points, [i] * len(points), "o", color=_colour(ablation, name), markersize=4, alpha=0.85)
            _name_rows(axes, names, "test accuracy in %", 1)
            axes.set_title(label)

        return draw

    panels = [panel(*cell) for cell in ablation.cells()]
    caption = "One point a run; a line joins the runs of one seed, which saw the same images in the same order."
    return _drawing("seeds", "Every seed", caption, *panels, height=0.7 + 0.2 * len(names))


def draw_tradeoff(ablation: Ablation, column: str, *, name: str, title: str, axis: str, scale: float) -> Drawing:
    """Draw accuracy against a cost (or, for consistency, a second gain), and the Pareto front."""
    more_is_better = column == CONSISTENCY

    def panel(label: str, rows: pd.DataFrame, runs: pd.DataFrame) -> Callable[[Axes], None]:
        def draw(axes: Axes) -> None:
            known = rows.dropna(subset=[column, "mean"])
            x, y = known[column].to_numpy() * scale, known["mean"].to_numpy() * 100
            front = pareto_front(-x if more_is_better else x, y)
            order = np.argsort(x[front])
            axes.plot(x[front][order], y[front][order], "--", color=GREY, linewidth=1, zorder=1)
            for i, operator in enumerate(known[OPERATOR]):
                low, high = known["low"].iloc[i] * 100, known["high"].iloc[i] * 100
                colour = _colour(ablation, operator)
                axes.plot([x[i]] * 2, [low, high], color=colour, linewidth=1, alpha=0.6)
                axes.plot(x[i], y[i], "o", color=colour, markersize=6 if front[i] else 4)
            axes.margins(0.18, 0.12)
            axes.set(title=label, xlabel=axis, ylabel="test accuracy in %")
            label_points(axes, x, y, list(known[OPERATOR]), [_colour(ablation, o) for o in known[OPERATOR]])

        return draw

    panels = [panel(*cell) for cell in ablation.cells()]
    better = "right" if more_is_better else "left"
    caption = f"Up and to the {better} is better. No point beats the large ones, the Pareto front, in both."
    return _drawing(name, title, caption, *panels, height=2.4 + 0.06 * len(ablation.operators))


def draw_curves(ablation: Ablation, curves: pd.DataFrame) -> Drawing:
    """Draw the validation accuracy after each epoch, averaged over the finished runs of each operator."""

    def panel(label: str, rows: pd.DataFrame, runs: pd.DataFrame) -> Callable[[Axes], None]:
        def draw(axes: Axes) -> None:
            joined = curves.merge(runs.loc[runs["status"] == "finished", ["run", OPERATOR]], on="run")
            means = joined.groupby([OPERATOR, "epoch"])["val_accuracy"].mean().mul(100).unstack(0)
            ends = []
            for name in [n for n in ablation.operators if n in means]:
                points = means[name].dropna()
                marker = "" if len(points) > 1 else "o"
                dash = "--" if ablation.operators.index(name) > len(COLOURS) else "-"  # where colours come round again
                axes.plot(points.index, points, dash, marker=marker, color=_colour(ablation, name), linewidth=1.4)
                ends.append((float(points.iloc[-1]), name, _colour(ablation, name)))
            axes.set(title=label, xlabel="epoch", ylabel="validation accuracy in %")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            label_ends(axes, ends)
            axes.set_xlim(right=means.index.max())

        return draw

    panels = [panel(*cell) for cell in ablation.cells()]
    caption = "Validation accuracy after each epoch, mean over the seeds that finished."
    return _drawing("curves", "Learning curves", caption, *panels, height=2.4 + 0.06 * len(ablation.operators))


def pareto_front(cost: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Return which points ``[n]`` no other beats: none has less cost and no less gain, or more gain at no more cost."""
    no_worse = (cost[None] <= cost[:, None]) & (gain[None] >= gain[:, None])
    better = (cost[None] < cost[:, None]) | (gain[None] > gain[:, None])
    return np.logical_not((no_worse & better).any(1))


def _drawing(name: str, title: str, caption: str, *panels: Callable[[Axes], None], height: float) -> Drawing:
    """Draw ``panels`` below each other, each ``height`` inches high."""
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH_INCHES, height * len(panels)))
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(panels), squeeze=False)[:, 0]
        for panel, place in zip(panels, axes, strict=True):
            panel(place)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None}, transparent=True)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=110)
    element = file.getvalue()[file.getvalue().index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'<g id="[^"]*"', "<g", element)  # several figures on one page must not share names
    return Drawing(
        name, title, caption, element.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1), picture.getvalue()
    )


def _colour(ablation: Ablation, operator: str) -> str:
    index = ablation.operators.index(operator)
    return BLACK if operator == ablation.baseline else COLOURS[(index - 1) % len(COLOURS)]


def _offsets(rows: pd.DataFrame, names: list[str], index: int, count: int) -> list[float]:
    """Return the heights of ``rows`` on an axis of ``names``, shifted so that settings lie beside each other."""
    return [names.index(name) + 0.5 * (count - 1 - 2 * index) / max(count, 2) * 0.6 for name in rows[OPERATOR]]


def _intervals(axes: Axes, heights: list[float], values: pd.DataFrame, index: int, label: str) -> None:
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    middle, low, high = values.to_numpy().T
    axes.hlines(heights, low, high, color=colour, linewidth=1.6)
    axes.plot(middle, heights, marker, color=colour, markersize=5, label=label)


def _name_rows(axes: Axes, names: list[str], xlabel: str, settings: int) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(xlabel)
    if settings > 1:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, handletextpad=0.2, borderaxespad=0.2
        )
