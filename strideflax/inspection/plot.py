"""A picture of what the network's stages see: the receptive fields of their central outputs over an image."""

import itertools

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from strideflax.inspection.record import Inspection, Layer

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#d55e00", "#cc79a7", "#0072b2", "#f0e442")


def central_box(layer: Layer) -> tuple[float, float, float, float]:
    """Return top, left, height and width, in pixels of the image, of what the layer's central output sees.

    Pixel 0 covers -0.5 to 0.5. On an even map the central output is the one right below the middle.
    """
    vertical, horizontal = layer.fields
    height, width = layer.size
    top = vertical.start + height // 2 * vertical.jump - vertical.size / 2
    left = horizontal.start + width // 2 * horizontal.jump - horizontal.size / 2
    return top, left, vertical.size, horizontal.size


def draw_fields(inspection: Inspection, image: NDArray) -> Figure:
    """Return a figure of ``image``, ``[height, width, 3]``, with one box per stage.

    Save it with ``figure.savefig(path, bbox_inches="tight")``. An image of another size than the inspection's is
    stretched to it. A receptive field may reach over the image's border; the grey there is padding.
    """
    figure = Figure(figsize=(6, 6.6), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    height, width = inspection.size
    axes.imshow(image, interpolation="nearest", extent=(-0.5, width - 0.5, height - 0.5, -0.5))
    low, high = [-0.5, -0.5], [height - 0.5, width - 0.5]
    for (name, layer), colour in zip(inspection.stage_ends().items(), itertools.cycle(COLOURS), strict=False):
        top, left, rows, columns = central_box(layer)
        label = f"{name}: {rows} x {columns} px, jump {layer.fields[0].jump}"
        axes.add_patch(Rectangle((left, top), columns, rows, fill=False, edgecolor=colour, linewidth=2.2, label=label))
        axes.plot(left + columns / 2, top + rows / 2, "+", color=colour, markersize=9, markeredgewidth=2)
        low = [min(low[0], top), min(low[1], left)]
        high = [max(high[0], top + rows), max(high[1], left + columns)]
    margin = 0.03 * max(high[0] - low[0], high[1] - low[1])
    axes.set(xlim=(low[1] - margin, high[1] + margin), ylim=(high[0] + margin, low[0] - margin))
    axes.set(xlabel="column (pixel)", ylabel="row (pixel)", facecolor="#d9d9d9")
    axes.set_title("receptive fields of the central outputs")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, frameon=False)
    return figure
