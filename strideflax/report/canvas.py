"""What all figures of a report share: their style, their panels, and how they become an SVG that stands in a page by itself."""

import io
import re
from dataclasses import dataclass, field
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# After Okabe and Ito, so that people with any colour vision tell them apart; black is the baseline's.
BLACK, *COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#9E6B00", "#56B4E9", "#7F7F7F")
MARKERS = "osD^vPX"
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


def new_figure(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure of ``panels`` below each other, each ``height`` inches high."""
    figure = Figure(figsize=(WIDTH_INCHES, height * panels))
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(panels, squeeze=False)[:, 0])


def as_drawing(figure: Figure, name: str, title: str, caption: str) -> Drawing:
    """Return a figure whose panels are drawn as SVG and PNG."""
    with matplotlib.rc_context({"svg.hashsalt": name}):  # the same numbers make the same file
        document = io.StringIO()
        figure.savefig(document, format="svg", metadata={"Date": None}, transparent=True)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return Drawing(name, title, caption, _svg_element(document.getvalue(), title), picture.getvalue())


def _svg_element(document: str, title: str) -> str:
    """Return the SVG element of a whole file, such that several can stand on one page and each has a spoken title."""
    element = document[document.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'<g id="[^"]*"', "<g", element)  # several figures on one page must not share names
    return element.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)


def percent_limits(limits: tuple[float, float]) -> tuple[float, float]:
    """Return an axis's limits without the part below 0 % or above 100 %."""
    low, high = limits
    return max(low, 0.0), min(high, 100.0)
