"""Pictures of sliding windows: where they stand, what they see, what they cost."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from drawing.panels import draw_bars, one_panel, panels, set_title
from strideflax.operators.base import Downsample
from strideflax.operators.geometry import make_window
from strideflax.operators.receptive_field import Field
from strideflax.report.canvas import COLOURS, GREY

BLUE, ORANGE = COLOURS[0], COLOURS[1]


def chain_macs(layers: Sequence[Downsample], size: Sequence[int]) -> int:
    """Return the multiply-adds (or compares) of ``layers`` one after the other, for one image of ``size``."""
    total = 0
    for layer in layers:
        for one in layer.passes(size):
            total += one.macs(size)
            size = one.output_size(size)
    return total


def grow_fields(layers: Sequence[tuple[int, int]]) -> list[Field]:
    """Return the receptive field after each layer, given as (window, stride), with symmetric padding."""
    fields = []
    field = Field()
    for window, stride in layers:
        field = field.through(window, stride, pad_low=window // 2)
        fields.append(field)
    return fields


def draw_windows(image: NDArray, window: int, outputs: Mapping[int, NDArray]) -> Figure:
    """Draw for each stride where the first two windows of a row stand on ``image``, and the output map beside it."""
    figure, axes = panels(1, 2 * len(outputs), 2.9, width_ratios=[5, 3.4] * len(outputs))
    for index, (stride, output) in enumerate(outputs.items()):
        left, right = axes[0, 2 * index], axes[0, 2 * index + 1]
        _number_cells(left, image, "{:g}")
        set_title(left, f"stride {stride}: windows on the input")
        _number_cells(right, output, "{:.2f}")
        set_title(right, "output")
        rows, columns = window // 2 + stride * np.indices(output.shape)
        left.plot(columns, rows + 0.28, "o", color="#333333", markersize=4)
        for i, colour in enumerate((BLUE, ORANGE)):
            inset = 0.06 * i  # so that the second window's frame does not cover the first one's
            _frame(left, i * stride + inset, inset, window, colour)
            _frame(right, i + 0.04, 0.04, 0.92, colour)
    return figure


def _frame(axes: Axes, column: float, row: float, side: float, colour: str) -> None:
    """Frame a square of cells whose first one is at ``column`` and ``row``."""
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), side, side, fill=False, edgecolor=colour, linewidth=2.5))


def _number_cells(axes: Axes, values: NDArray, form: str) -> None:
    axes.set(xlim=(-0.6, values.shape[1] - 0.4), ylim=(values.shape[0] - 0.4, -0.6), aspect="equal")
    axes.axis("off")
    for (row, column), value in np.ndenumerate(values):
        axes.add_patch(
            Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="#f4f4f4", edgecolor="#bbbbbb", linewidth=0.7)
        )
        axes.text(column, row, form.format(value), ha="center", va="center", size=10)


def draw_sampling(size: int, cases: Mapping[str, tuple[int, int, str]]) -> Figure:
    """Draw, for each case (window, stride, padding rule), pixels, padding, the first window and all window centres."""
    figure, axes = one_panel(0.62 * len(cases) + 0.7)
    for row, (name, (window, stride, rule)) in enumerate(cases.items()):
        colour = COLOURS[row % len(COLOURS)]
        ((low, high),) = make_window((size,), window, stride=stride, padding=rule).pads
        for pixel in range(-low, size + high):
            corner = (pixel - 0.5, row - 0.22)
            if 0 <= pixel < size:
                axes.add_patch(Rectangle(corner, 1, 0.44, facecolor="#f4f4f4", edgecolor="#bbbbbb"))
            else:
                axes.add_patch(Rectangle(corner, 1, 0.44, facecolor="none", edgecolor="#bbbbbb", hatch="////"))
        field = Field().through(window, stride, low)
        centres = field.start + field.jump * np.arange((size + low + high - window) // stride + 1)
        axes.plot(centres, np.full(len(centres), row), "o", color=colour, markersize=9)
        axes.plot(field.start + np.array([-window, window]) / 2, [row + 0.33] * 2, "-", color=colour, linewidth=3)
        text = f"{name}\nfirst centre on pixel {field.start:g}"
        axes.text(size + 0.8, row, text, va="center", color=colour, size=9.5)
    axes.set(xlim=(-1.7, size + 5.2), ylim=(len(cases) - 0.45, -0.5), yticks=[], xticks=range(size))
    axes.set_xlabel("pixel of the input (hatched: padding; dots: window centres; bar: the first window)", loc="left")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="x", length=0)
    return figure


def draw_reach(stacks: Mapping[str, Sequence[tuple[int, int]]]) -> Figure:
    """Draw how many pixels one output of each layer sees, for each stack of (window, stride)."""
    figure, axes = panels(1, len(stacks), 3.4, sharex=True, sharey=True)
    widest = max(grow_fields(stack)[-1].size for stack in stacks.values())
    for place, (name, stack) in zip(axes[0], stacks.items(), strict=True):
        set_title(place, name)
        for layer, field in enumerate(grow_fields(stack)):
            is_strided = stack[layer][1] > 1
            colour = ORANGE if is_strided else BLUE
            place.barh(layer, field.size, left=-field.size / 2, height=0.45, color=colour, alpha=0.85)
            label = f"layer {layer + 1}: sees {field.size} px, jump {field.jump}" + (", stride 2" if is_strided else "")
            place.text(-widest / 2, layer - 0.27, label, va="bottom", size=9)
        place.set(
            yticks=[],
            xticks=range(-widest // 2 + 1, widest // 2 + 1, 3),
            xlabel="pixels of the input around the output's centre",
            ylim=(len(stack) - 0.5, -0.85),
        )
        place.spines["left"].set_visible(False)
    return figure


def draw_costs(costs: Mapping[str, int]) -> Figure:
    """Draw multiply-adds as bars, each labelled with its value and its ratio to the first."""
    figure, axes = one_panel(0.42 * len(costs) + 0.5, width=8)
    lengths = [float(macs) for macs in costs.values()]
    labels = [f" {macs / 1e6:.1f} M   {macs / lengths[0]:.2f}×" for macs in lengths]
    draw_bars(axes, list(costs), lengths, labels, [ORANGE, *[BLUE] * (len(costs) - 1)])
    axes.set_xlabel("million multiply-adds for one image", color=GREY, loc="left")
    return figure
