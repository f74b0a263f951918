"""Figures for a notebook: one question each, small multiples, names written where they belong."""

import math
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from strideflax.report.canvas import GREY, STYLE

WIDTH = 10.0  # inches
DOTS_PER_INCH = 80


def panels(rows: int, columns: int, height: float, width: float = WIDTH, **layout: Any) -> tuple[Figure, NDArray]:
    """Return a figure ``height`` inches high and its axes ``[rows, columns]``; ``layout`` as in ``Figure.subplots``."""
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type, unused-ignore]
        figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH)
        return figure, figure.subplots(rows, columns, squeeze=False, **layout)


def one_panel(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """Return a figure ``height`` inches high and its only axes."""
    figure, axes = panels(1, 1, height, width)
    return figure, axes[0, 0]


def panel_per_name(names: list[str], columns: int, height: float, **layout: Any) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with one panel, ``height`` inches high, for each name, which is its title."""
    rows = math.ceil(len(names) / columns)
    figure, axes = panels(rows, columns, height * rows, **layout)
    by_name = {}
    for index, place in enumerate(axes.flat):
        if index < len(names):
            by_name[names[index]] = place
            set_title(place, title(names[index]))
        else:
            place.set_visible(False)
    return figure, by_name


def draw_images(
    images: Mapping[str, NDArray],
    columns: int = 4,
    height: float = 2.6,
    xlabel: str = "",
    ylabel: str = "",
    **options: Any,
) -> Figure:
    """Draw pictures with values in [0, 1] beside each other, black to white, each under its name.

    Further options go to ``Axes.imshow``.
    """
    figure, axes = panel_per_name(list(images), columns, height)
    for name, place in axes.items():
        show(place, images[name], **options)
        place.set(xlabel=xlabel, ylabel=ylabel)
    return figure


def show(axes: Axes, image: NDArray, **options: Any) -> None:
    """Draw one picture without ticks, pixels as squares."""
    steady = np.round(image, 5)  # so that rounding errors do not speckle an even grey
    axes.imshow(steady, **{"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest", **options})
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=GREY, linewidth=0.6)


def draw_bars(axes: Axes, names: list[str], lengths: list[float], labels: list[str], colours: list[str]) -> None:
    """Draw one bar below the other, each with its name on the left and its label at its end."""
    axes.barh(range(len(names)), lengths, color=colours, height=0.62)
    for row, label in enumerate(labels):
        axes.text(lengths[row], row, f" {label}", va="center", size=9)
    axes.set(xticks=[], xlim=(0, 1.25 * max(lengths)), ylim=(len(names) - 0.4, -0.6))
    axes.set_yticks(range(len(names)), [title(name) for name in names])
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)


def set_title(axes: Axes, text: str) -> None:
    """Write what a panel shows above its left end."""
    axes.set_title(text, loc="left", size=9, weight="bold")


def title(name: str) -> str:
    """Return a title that fits over a panel: of names joined by " = " the third begins a second line."""
    names = name.split(" = ")
    first, rest = " = ".join(names[:2]), " = ".join(names[2:])
    return f"{first}\n= {rest}" if rest else first
