"""Figures for a notebook: one question each, small multiples, names written where they belong."""

from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from strideflax.report.figures import GREY, STYLE

WIDTH = 10.0  # inches
DOTS_PER_INCH = 80


def panels(rows: int, columns: int, height: float, width: float = WIDTH, **layout: Any) -> tuple[Figure, NDArray]:
    """Return a figure ``height`` inches high and its axes ``[rows, columns]``; ``layout`` as in ``Figure.subplots``."""
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type, unused-ignore]
        figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH)
        return figure, figure.subplots(rows, columns, squeeze=False, **layout)


def panel_per_name(names: list[str], columns: int, height: float, **layout: Any) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with one panel, ``height`` inches high, for each name, which is its title."""
    rows = -(-len(names) // columns)
    figure, axes = panels(rows, columns, height * rows, **layout)
    for place in axes.flat[len(names) :]:
        place.set_visible(False)
    for name, place in zip(names, axes.flat, strict=False):
        set_title(place, title(name))
    return figure, dict(zip(names, axes.flat, strict=False))


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
    axes.imshow(image, **{"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest", **options})
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=GREY, linewidth=0.6)


def set_title(axes: Axes, text: str) -> None:
    """Write what a panel shows above its left end."""
    axes.set_title(text, loc="left", size=9, weight="bold")


def title(name: str) -> str:
    """Return a title that fits over a panel: names joined by " = " stand two on a line."""
    names = name.split(" = ")
    lines = [" = ".join(names[i : i + 2]) for i in range(0, len(names), 2)]
    return "\n= ".join(lines)
