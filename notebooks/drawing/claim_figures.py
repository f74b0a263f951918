"""Pictures for the claims about stride: masks through a coarse map, scores against output stride, gains with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from drawing.panels import one_panel, panel_per_name, panels, set_title, show
from strideflax.operators.interpolate import linear_upsample
from strideflax.report.canvas import BLACK, COLOURS, GREY


@dataclass(frozen=True)
class Interval:
    """A number and its 95 % interval."""

    middle: float
    low: float
    high: float


def through_coarse_map(masks: NDArray, output_stride: int, classes: int) -> NDArray:
    """Return masks ``[n, height, width]`` as a map of ``output_stride`` holds them: each class's share of a cell, interpolated.

    It is what a dense head with plain interpolation says that knows the share of every class in every cell.
    """
    n, height, width = masks.shape
    shares = np.eye(classes, dtype=np.float32)[masks]
    cells = shares.reshape(n, height // output_stride, output_stride, width // output_stride, output_stride, classes)
    fine = linear_upsample(cells.mean((2, 4)), output_stride, phase=(output_stride - 1) / 2)
    return np.asarray(fine).argmax(-1)


def draw_masks(image: NDArray, pictures: Mapping[str, NDArray], palette: NDArray, truth: NDArray) -> Figure:
    """Draw an image and masks beside it, each with its wrong pixels below; ``palette`` has a colour per class."""
    figure, axes = panels(2, 1 + len(pictures), 4.2)
    show(axes[0, 0], image)
    set_title(axes[0, 0], "image")
    axes[1, 0].set_visible(False)
    for index, (name, mask) in enumerate(pictures.items(), start=1):
        show(axes[0, index], palette[mask] / 255)
        set_title(axes[0, index], name)
        wrong = mask != truth
        show(axes[1, index], np.where(wrong, 0.0, 0.92))
        axes[1, index].set_xlabel(f"{100 * wrong.mean():.1f} % wrong", color=GREY)
    return figure


def draw_curves(lines: Mapping[str, Mapping[int, Interval]], unit: str, reference: str | None = None) -> Figure:
    """Draw lines by name, each a value with its interval per output stride; the one called ``reference`` is grey and dashed."""
    figure, axes = one_panel(3.4, width=7.5)
    colours = iter(COLOURS)
    for index, (name, values) in enumerate(lines.items()):
        strides = np.log2(list(values)) + 0.03 * index  # so that bars do not cover each other
        style, colour = ("--", GREY) if name == reference else ("-o", next(colours))
        middles = [value.middle for value in values.values()]
        axes.plot(strides, middles, style, color=colour, markersize=5, label=name)
        lows, highs = [value.low for value in values.values()], [value.high for value in values.values()]
        axes.vlines(strides, lows, highs, color=colour)
    ticks = sorted({stride for values in lines.values() for stride in values})
    axes.set_xticks(np.log2(ticks), [str(stride) for stride in ticks])
    axes.set(xlabel="output stride", ylabel=unit)
    axes.grid(axis="y", color="#e6e6e6")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def draw_gains(groups: Mapping[str, Mapping[str, Interval]], unit: str, columns: int, **layout: Any) -> Figure:
    """Draw a panel per group: a row per name with its gain and interval, full where the interval leaves out zero.

    ``layout`` as in ``Figure.subplots``.
    """
    most = max(len(rows) for rows in groups.values())
    figure, panels_by_name = panel_per_name(list(groups), columns, 0.9 + 0.3 * most, **layout)
    for name, axes in panels_by_name.items():
        _draw_rows(axes, groups[name])
        axes.set_xlabel(unit)
    return figure


def _draw_rows(axes: Axes, rows: Mapping[str, Interval]) -> None:
    axes.axvline(0, color=GREY, linewidth=1)
    for height, interval in enumerate(rows.values()):
        decided = interval.low > 0 or interval.high < 0
        colour = COLOURS[0] if decided else BLACK
        axes.hlines(height, interval.low, interval.high, color=colour, linewidth=1.6)
        axes.plot(interval.middle, height, "o", color=colour, markersize=6, fillstyle="full" if decided else "none")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e6e6e6")


def draw_parts(costs: Mapping[str, Mapping[str, int]], unit: str) -> Figure:
    """Draw a bar per network, made of its parts; the end of each bar says its total over the first one's."""
    figure, place = one_panel(0.5 + 0.42 * len(costs))
    names = list(costs)
    parts = list(costs[names[0]])
    total_of_first = sum(costs[names[0]].values())
    for row, name in enumerate(names):
        left = 0.0
        for index, part in enumerate(parts):
            length = costs[name][part] / 1e6
            label = part if row == 0 else None
            place.barh(row, length, left=left, height=0.62, color=COLOURS[index], alpha=0.85, label=label)
            left += length
        place.text(left, row, f"  {left:.1f}   {1e6 * left / total_of_first:.2f}×", va="center", size=9)
    place.set(ylim=(len(names) - 0.4, -0.6), xlabel=unit)
    place.set_xlim(0, 1.18 * max(sum(parts.values()) for parts in costs.values()) / 1e6)
    place.set_yticks(range(len(names)), names)
    place.tick_params(axis="y", length=0)
    place.legend(frameon=False, loc="lower right", ncols=len(parts))
    return figure
