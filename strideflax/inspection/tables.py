"""An inspection as tables to print: one network, or two side by side; narrow ones fit a terminal of 80 columns."""

from collections.abc import Callable, Sequence

from rich import box
from rich.table import Table

from strideflax.inspection.record import Inspection, Layer
from strideflax.wording import quantity


def layer_table(found: Inspection, *, narrow: bool = False) -> Table:
    """Return the table of all layers, with totals; a ``narrow`` one leaves out padding, bytes and share."""
    table = _table(f"image {found.size[0]}×{found.size[1]}")
    table.add_column("operator")
    for name in ("output", "field", "jump", "start"):
        table.add_column(name, justify="right")
    table.add_column("params", footer=quantity(found.params), justify="right")
    table.add_column("MACs", footer=quantity(found.macs), justify="right")
    if not narrow:
        table.add_column("pad", footer=f"{found.padding_share:.0%}", justify="right")
        table.add_column("bytes", footer=quantity(found.activation_bytes), justify="right")
        table.add_column("share", footer="100%", justify="right")
    _add_grouped(table, found.layers, lambda layer: _cells(layer, found)[: len(table.columns) - 1])
    return table


def comparison_table(left: Inspection, right: Inspection, names: tuple[str, str], *, narrow: bool = False) -> Table:
    """Return the table of two networks, side by side where a layer has the same name; a ``narrow`` one has no parameters."""
    table = _table(f"A: {names[0]}   B: {names[1]}   image {left.size[0]}×{left.size[1]}")
    for side, found in (("A", left), ("B", right)):
        table.add_column(f"{side} output", justify="right")
        table.add_column("field", justify="right")
        if not narrow:
            table.add_column("params", footer=quantity(found.params), justify="right")
        table.add_column("MACs", footer=quantity(found.macs), justify="right")
    table.add_column("B/A", footer=f"{right.macs / left.macs:.2f}", justify="right")
    left_rows = {layer.name: layer for layer in left.layers}
    right_rows = {layer.name: layer for layer in right.layers}

    def cells(layer: Layer) -> tuple[str, ...]:
        a, b = left_rows.get(layer.name), right_rows.get(layer.name)
        ratio = f"{b.macs / a.macs:.2f}" if a and b and a.macs else ""
        return *_short_cells(a, narrow), *_short_cells(b, narrow), ratio

    _add_grouped(table, interleaved(left.layers, right.layers), cells)
    return table


def interleaved(left: Sequence[Layer], right: Sequence[Layer]) -> list[Layer]:
    """Return one layer per name: those of ``left``, and the others of ``right`` each after what it follows there."""
    merged, place = list(left), 0
    names = [layer.name for layer in left]
    for layer in right:
        if layer.name not in names:
            merged.insert(place, layer)
            names.insert(place, layer.name)
        place = names.index(layer.name) + 1
    return merged


def _cells(layer: Layer, found: Inspection) -> tuple[str, ...]:
    vertical, horizontal = layer.fields
    return (
        layer.operator,
        _shape(layer),
        _pair(vertical.size, horizontal.size),
        _pair(vertical.jump, horizontal.jump),
        "varies" if layer.adaptive else _pair(vertical.start, horizontal.start),
        quantity(layer.params),
        quantity(layer.macs),
        f"{layer.padding_macs / layer.macs:.0%}" if layer.padding_macs else "",
        quantity(layer.activation_bytes),
        f"{found.macs_share(layer):.1%}" if layer.macs else "",
    )


def _short_cells(layer: Layer | None, narrow: bool) -> list[str]:
    cells = ["-", "", "", ""]
    if layer is not None:
        vertical, horizontal = layer.fields
        cells = [_shape(layer), _pair(vertical.size, horizontal.size), quantity(layer.params), quantity(layer.macs)]
    if narrow:
        del cells[2]
    return cells


def _add_grouped(table: Table, layers: Sequence[Layer], cells: Callable[[Layer], tuple[str, ...]]) -> None:
    """Add a row per layer, those of a block indented under its name."""
    group = ""
    for layer in layers:
        block, leaf = split_name(layer.name)
        if block and block != group:
            table.add_row(block, style="bold")
        group = block
        table.add_row(f"  {leaf}" if block else leaf, *cells(layer))


def split_name(name: str) -> tuple[str, str]:
    """Return the block and the rest: "stage2/block1" and "reduction/conv", or "" and "stem/conv"."""
    if not name.startswith("stage"):
        return "", name
    stage, block, *rest = name.split("/")
    return f"{stage}/{block}", "/".join(rest)


def _table(title: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_footer=True,
        pad_edge=False,
        show_edge=False,
        padding=0,
    )
    table.add_column("layer", footer="total")
    return table


def _shape(layer: Layer) -> str:
    height, width, channels = layer.output
    return f"{height}×{width}×{channels}"


def _pair(vertical: float, horizontal: float) -> str:
    return f"{vertical:g}" if vertical == horizontal else f"{vertical:g}×{horizontal:g}"
