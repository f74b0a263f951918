"""Pictures of what downsampling operators do to an edge, to stripes, to rings, to small pictures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from drawing import responses
from drawing.panels import panel_per_name, panels, set_title, show, title
from drawing.patterns import bump, stripes
from strideflax.operators.base import Downsample
from strideflax.operators.spectral import SpectralPool
from strideflax.report.figures import COLOURS, GREY

Operators = Mapping[str, Downsample]
BLUE, ORANGE, GREEN = COLOURS[:3]
SIZE = 32  # of the images with one edge or one kind of stripes


def draw_phases(operators: Operators) -> Figure:
    """Draw the phase that each operator reports, and those that a soft rising and a soft falling edge betray."""
    figure, axes = panels(1, 1, 0.3 * len(operators) + 0.8, width=8)
    place: Axes = axes[0, 0]
    image = bump(SIZE, 8, SIZE // 2, ramp=8)
    for i, operator in enumerate(operators.values()):
        rising, falling = responses.edge_phases(operator, image, 7.5, 7.5 + SIZE / 2)
        phase = operator.phase(image.shape)
        if phase is None:
            place.plot([0, 1], [i, i], color="#bbbbbb", linewidth=9, solid_capstyle="round")
            place.text(1.1, i, "chosen for each image", va="center", color=GREY)
        else:
            place.plot([phase[1]] * 2, [i - 0.38, i + 0.38], color="black", linewidth=2.5)
        place.plot([rising, falling], [i, i], color="#bbbbbb", linewidth=1, zorder=1)
        place.plot(rising, i, ">", color=BLUE, markersize=7)
        place.plot(falling, i, "<", color=ORANGE, markersize=7, markerfacecolor="none", markeredgewidth=1.6)
    place.set_yticks(range(len(operators)), [title(name) for name in operators])
    place.set(xlim=(-0.35, 1.6), ylim=(len(operators) - 0.4, -1.2), xticks=[0, 0.5, 1])
    place.set_xlabel("where output 0 lies, in pixels of the input (0: first pixel, 1: second)", loc="left")
    key = {"▸ by a rising edge": (-0.3, BLUE), "◂ by a falling edge": (0.27, ORANGE), "| reported": (0.85, "black")}
    for text, (x, colour) in key.items():
        place.text(x, -0.85, text, color=colour, weight="bold", va="center")
    place.grid(axis="x", color="#e6e6e6")
    place.tick_params(length=0)
    return figure


def draw_shifted_edge(operators: Operators, first: int = 10) -> Figure:
    """Draw each operator's output for a sharp edge and for the same edge one pixel further right."""
    images = [bump(SIZE, first + shift, SIZE // 2 - 1) for shift in range(3)]  # an odd width: no tie between phases
    looks: tuple[dict[str, Any], ...] = (
        {"color": BLUE, "marker": "o", "markersize": 8, "markerfacecolor": "none", "linewidth": 2.4},
        {"color": ORANGE, "marker": "s", "markersize": 4, "linewidth": 1},
    )
    figure, axes = panel_per_name(list(operators), 4, 1.55, sharex=True, sharey=True)
    for name, place in axes.items():
        operator = operators[name]
        for image, look in zip(images, looks, strict=False):
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
        left, right = (responses.picture(operators[name], image) for image in (board, shifted))
        gap = np.full((len(left), max(1, len(left) // 6)), np.nan)
        show(place, np.hstack([left, gap, right]))
        place.axis("off")
        for start, tile in ((0, left), (left.shape[1] + gap.shape[1], right)):
            frame = Rectangle((start - 0.5, -0.5), tile.shape[1], len(tile), fill=False, edgecolor=GREY, linewidth=0.8)
            frame.set_clip_on(False)
            place.add_patch(frame)
    return figure


def draw_strips(operators: Operators, chirp: NDArray) -> Figure:
    """Draw each operator's output for a chirp of stripes as one strip; right of the dashed line no stripe is true."""
    names = ["input", *operators]
    figure, axes = panels(len(names), 1, 0.36 * len(names) + 0.6, sharex=True)
    for name, place in zip(names, axes[:, 0], strict=True):
        strip = chirp[:1] if name == "input" else responses.picture(operators[name], chirp, columns=1)
        if name != "input":
            strip = strip[len(chirp) // (2 * operators[name].stride[0]) :: len(chirp) // operators[name].stride[0]]
        show(place, strip, aspect="auto", extent=(0, 0.5, 0, 1))
        place.axvline(0.25, color=ORANGE, linestyle="--", linewidth=1.8)
        place.set_ylabel(title(name), rotation=0, ha="right", va="center", weight="bold", size=9)
    axes[-1, 0].set_xticks([0, 0.125, 0.25, 0.375, 0.5])
    text = "fineness of the input's stripes, cycles per pixel (dashed: the finest that half the pixels can hold)"
    axes[-1, 0].set_xlabel(text)
    return figure


def draw_rings(operators: Operators, plate: NDArray) -> Figure:
    """Draw each operator's output for a zone plate; outside the dashed square no ring is true."""
    names = ["input", *operators]
    figure, axes = panel_per_name(names, 5, 2.15)
    for name, place in axes.items():
        rings = plate if name == "input" else responses.picture(operators[name], plate)
        show(place, rings)
        if rings.shape[0] == rings.shape[1] == len(plate) // 2 or name == "input":
            side = len(rings) / 2
            corner = (side / 2 - 0.5, side / 2 - 0.5)
            place.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=ORANGE, linestyle="--", linewidth=1.5))
    return figure


def draw_spectra(operators: Operators, images: NDArray) -> Figure:
    """Draw each operator's output for the first image, and its mean power over all images against an ideal low-pass."""
    reference = SpectralPool(1, stride=next(iter(operators.values())).stride)
    ideal = responses.power_spectrum(reference, images)
    names = ["input", *operators]
    contrast = {"vmin": images[0].min(), "vmax": images[0].max()}
    rows = -(-len(names) // 4)
    figure, axes = panels(rows, 8, 1.62 * rows + 0.5)
    for place in axes.reshape(-1):
        place.axis("off")
    for name, (left, right) in zip(names, axes.reshape(-1, 2), strict=False):
        left.axis("on")
        set_title(left, title(name))
        if name == "input":
            show(left, images[0], **contrast)
            continue
        show(left, responses.picture(operators[name], images[0]), **contrast)
        right.axis("on")
        decibel = 10 * np.log10(responses.power_spectrum(operators[name], images) / ideal)
        show(right, decibel, cmap="RdBu_r", vmin=-12, vmax=12)
        drawn = right.images[0]
    bar = figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.5, aspect=45, pad=0.02)
    bar.set_label(
        "power against an ideal low-pass, decibel (red: folded in, blue: lost); lowest frequency in the middle"
    )
    return figure


def draw_balance(operators: Operators, images: NDArray, cycles: int = 6) -> Figure:
    """Draw what each operator keeps of true detail, how much of its output is folded, and its error under a shift."""
    fine = stripes(cycles / SIZE, SIZE)
    error = {name: responses.shift_error(operator, images) for name, operator in operators.items()}
    names = sorted(operators, key=lambda name: error[name])
    columns: dict[str, list[float | None]] = {
        f"contrast kept of stripes that repeat\nevery {SIZE / cycles:.1f} pixels (more is better)": [
            responses.contrast_kept(operators[name], fine, cycles) for name in names
        ],
        "share of contrast that is\nfolded (less is better)": [
            responses.alias_share(operators[name], images) for name in names
        ],
        "error when the image moves by\none pixel (less is better)": [error[name] for name in names],
    }
    figure, axes = panels(1, 3, 0.3 * len(names) + 0.8, sharey=True)
    for place, (head, values), colour in zip(axes[0], columns.items(), (GREEN, ORANGE, BLUE), strict=True):
        set_title(place, head)
        lengths = [value or 0 for value in values]
        place.barh(range(len(names)), lengths, color=colour, height=0.62)
        for i, value in enumerate(values):
            place.text(lengths[i], i, "  –" if value is None else f" {value:.0%}", va="center", size=9)
        place.set(xticks=[], xlim=(0, 1.25 * max(lengths)), ylim=(len(names) - 0.4, -0.6))
        place.set_yticks(range(len(names)), [title(name) for name in names])
        place.tick_params(length=0)
        place.spines["bottom"].set_visible(False)
    return figure
