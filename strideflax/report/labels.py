"""Names written into a figure beside what they name, instead of a legend."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

SIZE = 8  # points


def label_points(axes: Axes, x: np.ndarray, y: np.ndarray, labels: list[str], colours: list[str]) -> None:
    """Write each point's name beside it, at the first place where it hides no other name or point."""
    figure = axes.figure.get_figure(root=True)
    figure.draw_without_rendering()  # settles the layout, so that boxes are where they will be
    renderer = FigureCanvasAgg(figure).get_renderer()
    taken = [Bbox.from_bounds(px - 4, py - 4, 8, 8) for px, py in axes.transData.transform(np.column_stack([x, y]))]
    frame = axes.get_window_extent(renderer)
    places = [
        (7 * side, 11 * step, "left" if side > 0 else "right") for step in (0, 1, -1, 2, -2, 3, -3) for side in (1, -1)
    ]
    for i in np.argsort(-y):
        for dx, dy, align in places:
            text = axes.annotate(
                labels[i],
                (x[i], y[i]),
                (dx, dy),
                textcoords="offset points",
                horizontalalignment=align,
                verticalalignment="center",
                color=colours[i],
                size=SIZE,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
            )
            box = text.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for j, other in enumerate(taken) if j != i):
                break
            if (dx, dy, align) != places[-1]:
                text.remove()
        taken.append(box)


def label_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write (height, name, colour) at the right border, moved apart where names would overlap."""
    low, high = axes.get_ylim()
    gap, ends = 0.075 * (high - low), sorted(ends)
    heights: list[float] = []
    for y, _, _ in ends:
        heights.append(max(y, heights[-1] + gap) if heights else y)
    top = high
    for i in reversed(range(len(heights))):  # what was pushed past the top goes down again, as far as it must
        heights[i] = min(heights[i], top)
        top = heights[i] - gap
    for height, (_, name, colour) in zip(heights, ends, strict=True):
        axes.annotate(
            name,
            (1.02, height),
            xycoords=("axes fraction", "data"),
            verticalalignment="center",
            color=colour,
            size=SIZE,
            annotation_clip=False,
        )
