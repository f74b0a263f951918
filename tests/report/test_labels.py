import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from strideflax.report.labels import label_ends, label_points


@pytest.fixture
def axes():
    figure = Figure(figsize=(4.4, 3))
    FigureCanvasAgg(figure)
    return figure.subplots()


def boxes(axes):
    """The words' boxes, by word."""
    axes.figure.draw_without_rendering()
    renderer = axes.figure.canvas.get_renderer()
    return {text.get_text(): text.get_window_extent(renderer) for text in axes.texts}


def overlaps(found):
    return [names for names in itertools.combinations(found, 2) if found[names[0]].overlaps(found[names[1]])]


def test_points_in_a_crowd_get_one_name_each_that_hide_neither_names_nor_points(axes):
    x, y = np.array([1.0, 1.02, 1.0, 1.03, 3.0]), np.array([2.0, 2.01, 2.04, 2.05, 4.0])
    names = ["first", "second", "third", "fourth", "fifth"]
    axes.plot(x, y, "o")
    label_points(axes, x, y, names, ["black"] * 5)
    found = boxes(axes)
    assert sorted(found) == sorted(names)
    assert len(axes.texts) == 5
    assert overlaps(found) == []
    for point, name in zip(axes.transData.transform(np.column_stack([x, y])), names, strict=True):
        assert not any(box.contains(*point) for other, box in found.items() if other != name)


def test_names_at_the_ends_of_lines_keep_their_order_and_their_distance_below_the_top(axes):
    axes.set_ylim(0, 1)
    label_ends(
        axes,
        [(0.98, "c", "black"), (0.97, "b", "black"), (0.99, "d", "black"), (0.3, "a", "black"), (0.31, "a2", "black")],
    )
    found = boxes(axes)
    assert overlaps(found) == []
    assert sorted(found, key=lambda name: found[name].y0) == ["a", "a2", "b", "c", "d"]
    heights = {text.get_text(): text.xy[1] for text in axes.texts}
    assert max(heights.values()) <= 1
    assert heights["a"] == 0.3  # one with room stays where its line ends
