"""Time downsampling operators one by one: forward, and forward with backward."""

import argparse
from typing import Any

from rich.table import Table

from strideflax.commands.bench_options import add_out
from strideflax.commands.console import console, loading, print_table, print_text
from strideflax.commands.parsing import at_least_one
from strideflax.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "operators", nargs="*", metavar="OPERATOR", help="which (default: all; a wrong name lists them)"
    )
    parser.add_argument(
        "--shape", default="128,32,32,64", type=_shape, metavar="B,H,W,C", help="of the input (default: %(default)s)"
    )
    parser.add_argument("--stride", type=at_least_one, default=2, metavar="S", help="default: %(default)s")
    parser.add_argument(
        "--repeats", type=at_least_one, default=20, metavar="N", help="timed calls (default: %(default)s)"
    )
    add_out(parser)


def main(args: argparse.Namespace) -> None:
    """Time each operator, print the table, store it as JSON."""
    with loading():
        from strideflax.environment import describe_device, versions
        from strideflax.files import write_json
        from strideflax.measuring.timing import WARMUP
        from strideflax.operators.table import DOWNSAMPLERS

    names = args.operators or list(DOWNSAMPLERS)
    for name in names:
        if name not in DOWNSAMPLERS:
            raise UserError(f"unknown operator {name!r}; known: {', '.join(DOWNSAMPLERS)}")
    rows = []
    for name in names:
        console.print(f"timing {name} ...", style="dim")
        rows.append(_row(name, args.shape, args.stride, args.repeats))
    protocol = f"compiled ahead of time, {WARMUP} warm-up calls, {args.repeats} calls until ready, median and quartiles"
    device = describe_device()
    stored = {
        "protocol": protocol, "shape": args.shape, "stride": args.stride, "dtype": "float32", "device": device,
        "versions": versions(), "operators": rows,
    }  # fmt: skip
    write_json(args.out, stored)
    _print_rows(rows, f"{'x'.join(map(str, args.shape))} float32, stride {args.stride}, milliseconds on {device}")
    print_text(f"{protocol}; stored in {args.out}")


def _shape(text: str) -> list[int]:
    words = text.split(",")
    if len(words) != 4:
        raise argparse.ArgumentTypeError(f"must be BATCH,HEIGHT,WIDTH,CHANNELS, got {text!r}")
    return [at_least_one(word) for word in words]


def _row(name: str, shape: list[int], stride: int, repeats: int) -> dict[str, Any]:
    """Return the operator's times, or why it can't take such a map."""
    from strideflax.measuring.cost import operator_cost

    try:
        return operator_cost(name, shape, stride=stride, repeats=repeats)
    except ValueError as error:
        return {"operator": name, "error": str(error)}


def _print_rows(rows: list[dict[str, Any]], title: str) -> None:
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    table.add_column("operator")
    for column in ("forward", "quartiles", "+ backward", "quartiles", "params"):
        table.add_column(column, justify="right")
    failed = [row for row in rows if "error" in row]
    for row in rows:
        if row in failed:
            table.add_row(row["operator"], "[red]failed[/]")
            continue
        cells = [row["operator"]]
        for part in ("forward", "forward_backward"):
            times = row[part]
            cells += [f"{times['median_ms']:.3f}", f"{times['low_quartile_ms']:.3f}-{times['high_quartile_ms']:.3f}"]
        table.add_row(*cells, f"{row['params']:,}")
    print_table(table)
    for row in failed:
        console.print(f"{row['operator']}: {row['error']}", style="red", markup=False)
