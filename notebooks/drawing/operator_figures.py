"""Pictures of what downsampling operators do to an edge, to stripes, to rings, to small pictures."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from drawing import responses
from drawing.panels import draw_bars, one_panel, panel_per_name, panels, set_title, show, title
from drawing.patterns import bump, stripes
from strideflax.operators.base import Downsample
from strideflax.operators.spectral import SpectralPool
from strideflax.report.canvas import COLOURS, GREY

Operators = Mapping[str, Downsample]
Look = dict[str, Any]  # of a line
BLUE, ORANGE, GREEN = COLOURS[:3]
SIZE = 32  # of the images with one edge or one kind of stripes
RISING, FALLING, REPORTED = "▸ by a rising edge", "◂ by a falling edge", "| reported"


def draw_phases(operators: Operators) -> Figure:
    """Draw the phase that each operator reports, and those that a soft rising and a soft falling edge betray."""
    figure, axes = one_panel(0.3 * len(operators) + 0.8, width=8)
    image = bump(SIZE, 8, SIZE // 2, ramp=8)
    for row, operator in enumerate(operators.values()):
        rising, falling = responses.edge_phases(operator, image, 7.5, 7.5 + SIZE / 2)
        phase = operator.phase(image.shape)
        if phase is None:
            axes.plot([0, 1], [row, row], color="#bbbbbb", linewidth=9, solid_capstyle="round")
            axes.text(1.1, row, "chosen for each image", va="center", color=GREY)
        else:
            axes.plot([phase[1], phase[1]], [row - 0.38, row + 0.38], color="black", linewidth=2.5)
        axes.plot([rising, falling], [row, row], color="#bbbbbb", linewidth=1, zorder=1)
        axes.plot(rising, row, ">", color=BLUE, markersize=7)
        axes.plot(falling, row, "<", color=ORANGE, markersize=7, markerfacecolor="none", markeredgewidth=1.6)
    for left, text, colour in ((-0.3, RISING, BLUE), (0.27, FALLING, ORANGE), (0.85, REPORTED, "black")):
        axes.text(left, -0.85, text, color=colour, weight="bold", va="center")
    axes.set_yticks(range(len(operators)), [title(name) for name in operators])
    axes.set(xlim=(-0.35, 1.6), ylim=(len(operators) - 0.4, -1.2), xticks=[0, 0.5, 1])
    axes.set_xlabel("where output 0 lies, in pixels of the input (0: first pixel, 1: second)", loc="left")
    axes.grid(axis="x", color="#e6e6e6")
    axes.tick_params(length=0)
    return figure


def draw_shifted_edge(operators: Operators, first: int = 10) -> Figure:
    """Draw each operator's output for a sharp edge and for the same edge one pixel further right."""
    images = [bump(SIZE, first + shift, SIZE // 2 - 1) for shift in range(3)]  # an odd width: no tie between phases
    circles: Look = {"color": BLUE, "marker": "o", "markersize": 8, "markerfacecolor": "none", "linewidth": 2.4}
    squares: Look = {"color": ORANGE, "marker": "s", "markersize": 4, "linewidth": 1}
    figure, axes = panel_per_name(list(operators), 4, 1.55, sharex=True, sharey=True)
    for name, place in axes.items():
        operator = operators[name]
        for image, look in ((images[0], circles), (images[1], squares)):
            place.plot(responses.sample_columns(operator, image), responses.profile(operator, image), **look)
        steps = responses.edge_steps(operator, images)
        place.text(first + 2.6, 0.12, f"moves {steps[0]:.1f} px,\nthen {steps[1]:.1f} px", size=9)
        place.set(xlim=(first - 4.5, first + 9.5), ylim=(-0.25, 1.25), yticks=[0, 1])
    text = "pixel of the input (blue circles: an edge; orange squares: the same edge one pixel further right)"
    figure.supxlabel(text, size=9)
    return figure


def draw_boards(operators: Operators, board: NDArray, shifted: NDArray) -> Figure:
    """Draw each operator's output for a checkerboard (left) and for the same moved by one pixel (right)."""
    figure, axes = panel_per_name(list(operators), 4, 1.35)
    for name, place in axes.items():
        left = responses.picture(operators[name], board)
        right = responses.picture(operators[name], shifted)
        height, width = left.shape
        gap = np.full((height, max(1, height // 6)), np.nan)
        show(place, np.hstack([left, gap, right]))
        place.axis("off")
        for start in (0, width + gap.shape[1]):
            corner = (start - 0.5, -0.5)
            frame = Rectangle(corner, width, height, fill=False, edgecolor=GREY, linewidth=0.8, clip_on=False)
            place.add_patch(frame)
    return figure


def draw_strips(operators: Operators, chirp: NDArray) -> Figure:
    """Draw each operator's output for a chirp of stripes as one strip; right of the dashed line no stripe is true."""
    figure, axes = panels(1 + len(operators), 1, 0.36 * (1 + len(operators)) + 0.6, sharex=True)
    strips = {"input": chirp[:1]}
    for name, operator in operators.items():
        rows = len(chirp) // operator.stride[0]  # of the output, for each of its channels
        strips[name] = responses.picture(operator, chirp, columns=1)[rows // 2 :: rows]
    for row, (name, strip) in enumerate(strips.items()):
        place = axes[row, 0]
        show(place, strip, aspect="auto", extent=(0, 0.5, 0, 1))
        place.axvline(0.25, color=ORANGE, linestyle="--", linewidth=1.8)
        place.set_ylabel(title(name), rotation=0, ha="right", va="center", weight="bold", size=9)
    place.set_xticks([0, 0.125, 0.25, 0.375, 0.5])
    place.set_xlabel(
        "fineness of the input's stripes, cycles per pixel (dashed: the finest that half the pixels can hold)"
    )
    return figure


def draw_rings(operators: Operators, plate: NDArray) -> Figure:
    """Draw each operator's output for a zone plate; outside the dashed square no ring is true."""
    pictures = {"input": plate}
    for name, operator in operators.items():
        pictures[name] = responses.picture(operator, plate)
    figure, axes = panel_per_name(list(pictures), 5, 2.15)
    for name, place in axes.items():
        rings = pictures[name]
        show(place, rings)
        if name == "input" or rings.shape == (len(plate) // 2, len(plate) // 2):  # the others are tiles
            side = len(rings) / 2
            corner = (side / 2 - 0.5, side / 2 - 0.5)
            place.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=ORANGE, linestyle="--", linewidth=1.5))
    return figure


def draw_spectra(operators: Operators, images: NDArray) -> Figure:
    """Draw each operator's output for the first image, and its mean power over all images against an ideal low-pass."""
    stride = next(iter(operators.values())).stride
    ideal = responses.power_spectrum(SpectralPool(1, stride=stride), images)
    contrast = {"vmin": images[0].min(), "vmax": images[0].max()}
    rows = math.ceil((1 + len(operators)) / 4)
    figure, axes = panels(rows, 8, 1.62 * rows + 0.5)
    for place in axes.flat:
        place.axis("off")
    pairs = axes.reshape(-1, 2)  # for each operator its picture and its spectrum
    _show_titled(pairs[0, 0], "input", images[0], **contrast)
    for index, (name, operator) in enumerate(operators.items(), start=1):
        picture, spectrum = pairs[index]
        _show_titled(picture, name, responses.picture(operator, images[0]), **contrast)
        decibel = 10 * np.log10(responses.power_spectrum(operator, images) / ideal)
        _show_titled(spectrum, "", decibel, cmap="RdBu_r", vmin=-12, vmax=12)
    bar = figure.colorbar(spectrum.images[0], ax=axes, location="bottom", shrink=0.5, aspect=45, pad=0.02)
    bar.set_label(
        "power against an ideal low-pass, decibel (red: folded in, blue: lost); lowest frequency in the middle"
    )
    return figure


def _show_titled(axes: Axes, name: str, image: NDArray, **options: Any) -> None:
    axes.axis("on")
    set_title(axes, title(name))
    show(axes, image, **options)


def draw_balance(operators: Operators, images: NDArray, cycles: int = 6) -> Figure:
    """Draw what each operator keeps of true detail, how much of its output is folded, and its error under a shift."""
    fine = stripes(cycles / SIZE, SIZE)
    error = {name: responses.shift_error(operator, images) for name, operator in operators.items()}
    names = sorted(operators, key=lambda name: error[name])
    kept = {name: responses.contrast_kept(operators[name], fine, cycles) for name in names}
    folded = {name: responses.alias_share(operators[name], images) for name in names}
    figure, axes = panels(1, 3, 0.3 * len(names) + 0.8, sharey=True)
    head = f"contrast kept of stripes that repeat\nevery {SIZE / cycles:.1f} pixels (more is better)"
    _draw_shares(axes[0, 0], head, names, kept, GREEN)
    _draw_shares(axes[0, 1], "share of contrast that is\nfolded (less is better)", names, folded, ORANGE)
    _draw_shares(axes[0, 2], "error when the image moves by\none pixel (less is better)", names, error, BLUE)
    return figure


def _draw_shares(axes: Axes, head: str, names: list[str], shares: Mapping[str, float | None], colour: str) -> None:
    """Draw one bar per operator; one without a share gets a dash."""
    set_title(axes, head)
    lengths, labels = [], []
    for name in names:
        share = shares[name]
        lengths.append(share or 0.0)
        labels.append("–" if share is None else f"{share:.0%}")
    draw_bars(axes, names, lengths, labels, [colour] * len(names))
