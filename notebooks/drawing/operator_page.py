"""The picture at the head of an operator's page: a small picture, an edge, rings and a spectrum, as it leaves them."""

import functools

import jax.numpy as jnp
import numpy as np
from flax import nnx
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from drawing import responses
from drawing.panels import panels, set_title, show
from drawing.patterns import bump, zone_plate
from strideflax.data.shapes import draw_shapes
from strideflax.operators.base import Downsample
from strideflax.operators.spectral import SpectralPool
from strideflax.report.canvas import COLOURS

BLUE, ORANGE = COLOURS[:2]
SIZE = 32
FIRST_LIGHT_COLUMN = 10


def draw(name: str, module: type[Downsample]) -> Figure:
    """Return six panels that show what ``module``, called ``name`` there, does at stride 2."""
    operator = one_channel(module)
    figure, axes = panels(2, 3, height=5.2, width=7.5)
    image = small_pictures()[0]
    contrast = {"vmin": image.min(), "vmax": image.max()}
    show_picture(axes[0, 0], "a small picture", image, **contrast)
    show_picture(axes[0, 1], f"after {name}", responses.picture(operator, image), **contrast)
    draw_edge(axes[0, 2], operator)
    plate = zone_plate(2 * SIZE)
    show_picture(axes[1, 0], "rings", plate, true_within=SIZE)
    rings = responses.picture(operator, plate)
    whole = len(rings) == SIZE  # not the tiles of several channels
    show_picture(axes[1, 1], f"after {name}", rings, true_within=SIZE // 2 if whole else None)
    draw_spectrum(axes[1, 2], operator)
    return figure


def one_channel(module: type[Downsample]) -> Downsample:
    """Build the operator for one channel with circular borders; a convolution passes its input on."""
    operator = module(1, stride=2, padding="CIRCULAR", rngs=nnx.Rngs(0))
    if operator.convolves:
        graph, state = nnx.split(operator)
        kernels = nnx.map_state(lambda path, kernel: pass_on(kernel), state)
        return nnx.merge(graph, kernels)
    return operator


def pass_on(kernel: jnp.ndarray) -> NDArray:
    """Return a kernel of the same shape that is 1 in its middle and 0 elsewhere."""
    passing = np.zeros(kernel.shape, np.float32)
    passing[kernel.shape[0] // 2, kernel.shape[1] // 2] = 1
    return passing


@functools.cache
def small_pictures() -> NDArray:
    """Return a hundred of the embedded images in grey, ``[100, 32, 32]``, values in [0, 1]."""
    return draw_shapes(100, seed=0)[0].mean(axis=-1) / 255


@functools.cache
def ideal_spectrum() -> NDArray:
    """Return the mean power of the small pictures after an ideal low-pass."""
    return responses.power_spectrum(SpectralPool(1, stride=2), small_pictures())


def show_picture(axes: Axes, title: str, image: NDArray, true_within: int | None = None, **contrast: float) -> None:
    """Draw a picture, and a dashed square of ``true_within`` pixels in its middle."""
    set_title(axes, title)
    show(axes, image, **contrast)
    if true_within is not None:
        corner = (len(image) - true_within) / 2 - 0.5
        square = Rectangle((corner, corner), true_within, true_within, fill=False, edgecolor=ORANGE, linestyle="--")
        square.set_linewidth(1.5)
        axes.add_patch(square)


def draw_edge(axes: Axes, operator: Downsample) -> None:
    """Draw the output for a sharp edge, and for the same edge one pixel further right."""
    set_title(axes, "an edge that moves by a pixel")
    looks = ((BLUE, "o", 2.4), (ORANGE, "s", 1.0))
    for shift, (colour, marker, width) in enumerate(looks):
        image = bump(SIZE, FIRST_LIGHT_COLUMN + shift, SIZE // 2 - 1)
        columns, values = responses.sample_columns(operator, image), responses.profile(operator, image)
        axes.plot(columns, values, color=colour, marker=marker, markersize=5, markerfacecolor="none", linewidth=width)
    axes.set(
        xlim=(FIRST_LIGHT_COLUMN - 5, FIRST_LIGHT_COLUMN + 7),
        ylim=(-0.25, 1.25),
        xticks=[6, 8, 10, 12, 14, 16],
        yticks=[0, 1],
    )
    axes.set_xlabel("pixel of the input")


def draw_spectrum(axes: Axes, operator: Downsample) -> None:
    """Draw the power of the outputs over that of an ideal low-pass, in decibel."""
    set_title(axes, "power, −12 to +12 dB")
    decibel = 10 * np.log10(responses.power_spectrum(operator, small_pictures()) / ideal_spectrum())
    show(axes, decibel, cmap="RdBu_r", vmin=-12, vmax=12)
