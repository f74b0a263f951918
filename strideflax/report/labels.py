"""Names written into a figure beside what they name, instead of a legend."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

SIZE = 8  # points
# Where a name may stand beside its point: offsets in points and alignment, the best place first.
PLACES = [
    (7, 0, "left"), (-7, 0, "right"), (7, 11, "left"), (-7, 11, "right"), (7, -11, "left"), (-7, -11, "right"),
    (7, 22, "left"), (-7, 22, "right"), (7, -22, "left"), (-7, -22, "right"),
    (7, 33, "left"), (-7, 33, "right"), (7, -33, "left"), (-7, -33, "right"),
]  # fmt: skip


def label_points(axes: Axes, x: np.ndarray, y: np.ndarray, labels: list[str], colours: list[str]) -> None:
    """Write each point's name beside it, at the first place where it hides no other name or point."""
    figure = axes.figure.get_figure(root=True)
    figure.draw_without_rendering()  # settles the layout, so that boxes are where they will be
    renderer = FigureCanvasAgg(figure).get_renderer()
    points = axes.transData.transform(np.column_stack([x, y]))
    taken = {index: Bbox.from_bounds(left - 4, bottom - 4, 8, 8) for index, (left, bottom) in enumerate(points)}
    frame = axes.get_window_extent(renderer)
    for i in np.argsort(-y):
        others = [box for index, box in taken.items() if index != i]
        for dx, dy, align in PLACES:
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
            is_inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            is_last = (dx, dy, align) == PLACES[-1]
            if is_last or (is_inside and not any(box.overlaps(other) for other in others)):
                taken[len(taken)] = box
                break
            text.remove()


def label_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write (height, name, colour) at the right border, moved apart where names would overlap."""
    low, high = axes.get_ylim()
    gap = 0.075 * (high - low)
    ends = sorted(ends)
    heights: list[float] = []
    for y, _, _ in ends:
        heights.append(max(y, heights[-1] + gap) if heights else y)
    top = high
    for i in reversed(range(len(heights))):  # what was pushed past the top goes down again, as far as it must
        heights[i] = min(heights[i], top)
        top = heights[i] - gap
    for i, (_, name, colour) in enumerate(ends):
        axes.annotate(
            name,
            (1.02, heights[i]),
            xycoords=("axes fraction", "data"),
            verticalalignment="center",
            color=colour,
            size=SIZE,
            annotation_clip=False,
        )
