"""Show a model layer by layer: shapes, receptive fields, parameters, MACs.

Says too whether the two paths of each residual block are aligned.

strideflax inspect --config configs/stride2.py
strideflax inspect --config configs/stride2.py --compare configs/maxpool.py
"""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from strideflax.commands.console import (
    ImageBar,
    columns_of,
    console,
    fits,
    loading,
    print_table,
    print_text,
    table_width,
)
from strideflax.commands.parsing import add_config_argument
from strideflax.errors import UserError

if TYPE_CHECKING:
    from strideflax.inspection import Inspection

FILE_WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_config_argument(parser)
    parser.add_argument(
        "--compare",
        metavar="FILE[:VARIANT]",
        help="a second config, beside the first; --config.FIELD=VALUE changes the first alone",
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="of the image (default: that of the images that config.data names)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the stages' receptive fields over an image")


def main(args: argparse.Namespace) -> None:
    """Print the tables, or the JSON object, and draw the picture."""
    with loading():
        from strideflax.inspection.tables import comparison_table, layer_table

    found = _inspect(args.config, args.overrides, args.size)
    other = _inspect(args.compare, [], args.size) if args.compare else None
    if args.json:
        print(json.dumps(_as_json(args, found, other), indent=2, allow_nan=False))
    elif other is None:
        _print(partial(layer_table, found), _lines(found))
    else:
        lines = [f"A: {line}" for line in _lines(found)] + [f"B: {line}" for line in _lines(other)]
        lines.append(f"B/A: MACs {other.macs / found.macs:.3f}, parameters {other.params / found.params:.3f}")
        _print(partial(comparison_table, found, other, (args.config, args.compare)), lines)
    if args.plot:
        _plot(found, args.plot)
        if not args.json:
            console.print(f"receptive fields drawn in {args.plot}", markup=False)


def _inspect(spec: str, overrides: Sequence[str], size: Sequence[int] | None) -> "Inspection":
    from strideflax.config_file import read_config
    from strideflax.data import load_dataset
    from strideflax.data.published_sets import PUBLISHED_SETS
    from strideflax.inspection import inspect_model
    from strideflax.model import abstract_model, check_strides

    config = read_config(spec, overrides)
    if config.data.is_own:
        with ImageBar() as bar:
            dataset = load_dataset(config.data, bar)
        size, ends = size or dataset.train.images.shape[1:3], dataset.model_arguments
    else:
        known = PUBLISHED_SETS[config.data.name]
        size, ends = size or (known.side, known.side), {"classes": known.classes}
    found = inspect_model(abstract_model(config.model, **ends), size)
    check_strides(config.model, found.size)
    return found


def _lines(found: "Inspection") -> list[str]:
    """Return the exact totals and the blocks' verdicts."""
    totals = (
        f"{found.params:,} parameters, {found.macs:,} MACs ({found.padding_share:.1%} of them on padding), "
        f"{found.activation_bytes:,} bytes of activations"
    )
    return [totals, *(f"{alignment.block}: {alignment.verdict}" for alignment in found.alignments)]


def _as_json(args: argparse.Namespace, found: "Inspection", other: "Inspection | None") -> dict[str, Any]:
    described: dict[str, Any] = {"config": args.config, "overrides": args.overrides, **found.to_dict()}
    if other is not None:
        described["compare"] = {"config": args.compare, **other.to_dict()}
        described["ratio"] = {"macs": other.macs / found.macs, "params": other.params / found.params}
    return described


def _print(make_table: Callable[..., Table], lines: Sequence[str]) -> None:
    from strideflax.inspection import CONVENTIONS

    table = make_table()
    if fits(table):
        print_table(table)
    else:
        print_table(make_table(narrow=True))
        lines = [*lines, f"{columns_of(table)} columns, or --json, show more of each layer."]
    for line in lines:
        print_text(line, file_width=table_width() or FILE_WIDTH)
    print_text(CONVENTIONS, style="dim", file_width=table_width() or FILE_WIDTH)


def _plot(found: "Inspection", path: Path) -> None:
    from strideflax.data.shapes import draw_shapes
    from strideflax.inspection.plot import draw_fields

    images, *_ = draw_shapes(1, seed=0)
    try:
        draw_fields(found, images[0]).savefig(path, bbox_inches="tight")
    except (OSError, ValueError) as error:
        raise UserError(f"--plot {path}: {str(error).splitlines()[0]}") from None
