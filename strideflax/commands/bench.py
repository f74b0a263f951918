"""Time downsampling operators on this device; or, with --against, whole training steps and operators against rivals; or, with
--scaling, images per second along an axis, such as the width or the batch; or, with --overhead, what a run costs besides its
steps; or all of these."""

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from strideflax.benchmark.contenders import RIVALS
from strideflax.benchmark.scaling import AXES
from strideflax.commands import bench_against, bench_all, bench_overhead, bench_scaling
from strideflax.commands.console import console
from strideflax.errors import UserError
from strideflax.measuring.cost import operator_cost
from strideflax.measuring.timing import REPEATS, WARMUP
from strideflax.operators.table import DOWNSAMPLERS
from strideflax.training.environment import describe_device, versions
from strideflax.training.run_folder import write_json

SHIPPED = tuple(f"configs/{name}.py" for name in ("stride2", "maxpool", "avgpool", "blurpool"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--operators", default="all", metavar="A,B", help=f"all, or some of {', '.join(DOWNSAMPLERS)}")
    parser.add_argument(
        "--shape", default="128,32,32,64", metavar="B,H,W,C", help="of the input (default: %(default)s)"
    )
    parser.add_argument("--stride", type=int, default=2, metavar="S", help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=REPEATS, metavar="N", help="timed calls (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("bench.json"), metavar="FILE", help="default: %(default)s")
    others = parser.add_argument_group("against others, and along an axis")
    other = others.add_mutually_exclusive_group()
    other.add_argument("--against", choices=RIVALS, help="measure the configs' training steps and operators as ratios")
    other.add_argument(
        "--scaling", choices=AXES, help="measure the first config's training step along an axis; draws it too"
    )
    other.add_argument(
        "--overhead", action="store_true", help="measure the first config's loop, memory and start besides its steps"
    )
    other.add_argument(
        "--all",
        action="store_true",
        help="--against torch, --scaling along every axis and --overhead, into the folder --out",
    )
    others.add_argument(
        "--config", nargs="+", default=list(SHIPPED), metavar="FILE.py[:ARG]", help="default: %(default)s"
    )
    others.add_argument("--dtypes", default="float32,bfloat16", metavar="A,B", help="default: %(default)s")
    others.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of each (default: %(default)s)")
    others.add_argument("--only", default="", metavar="TEXT", help="workloads whose name holds TEXT")
    others.add_argument(
        "--torch-python",
        default=sys.executable,
        metavar="FILE",
        help="interpreter that has PyTorch (default: this one)",
    )
    others.add_argument(
        "--check",
        action="store_true",
        help="with --against lax: fail if one of a few operators is below its stated ratio",
    )


def main(args: argparse.Namespace) -> None:
    """Do what the options choose."""
    for option in ("stride", "repeats", "rounds"):
        if getattr(args, option) < 1:
            raise UserError(f"--{option} must be an int >= 1, got {getattr(args, option)}")
    if args.check and args.against != "lax":
        raise UserError("--check goes with --against lax")
    if args.all:
        bench_all.everything(args)
    elif args.scaling:
        bench_scaling.scale(args)
    elif args.overhead:
        bench_overhead.overhead(args)
    elif args.check:
        bench_against.check(args)
    elif args.against:
        bench_against.against(args)
    else:
        _operators(args)


def _operators(args: argparse.Namespace) -> None:
    """Time each operator, print the table, store it as JSON."""
    names = list(DOWNSAMPLERS) if args.operators == "all" else args.operators.split(",")
    if unknown := [name for name in names if name not in DOWNSAMPLERS]:
        raise UserError(f"unknown operator {unknown[0]!r}; known: all, {', '.join(DOWNSAMPLERS)}")
    shape = _shape(args.shape)
    rows = []
    for name in names:
        console.print(f"timing {name} ...", style="dim")
        rows.append(_row(name, shape, args.stride, args.repeats))
    protocol = f"compiled ahead of time, {WARMUP} warm-up calls, {args.repeats} calls until ready, median and quartiles"
    device = describe_device()
    stored = {
        "protocol": protocol, "shape": shape, "stride": args.stride, "dtype": "float32", "device": device,
        "versions": versions(), "operators": rows,
    }  # fmt: skip
    write_json(args.out, stored)
    _print_rows(rows, f"{'x'.join(map(str, shape))} float32, stride {args.stride}, milliseconds on {device}")
    console.print(f"{protocol}; stored in {args.out}", markup=False)


def _shape(text: str) -> list[int]:
    words = text.split(",")
    if len(words) != 4 or not all(word.isdigit() and int(word) > 0 for word in words):
        raise UserError(f"--shape must be four ints >= 1, BATCH,HEIGHT,WIDTH,CHANNELS, got {text!r}")
    return [int(word) for word in words]


def _row(name: str, shape: list[int], stride: int, repeats: int) -> dict[str, Any]:
    """Return the operator's times, or why it can't take such a map."""
    try:
        return operator_cost(name, shape, stride=stride, repeats=repeats)
    except ValueError as error:
        return {"operator": name, "error": str(error)}


def _print_rows(rows: list[dict[str, Any]], title: str) -> None:
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    table.add_column("operator", no_wrap=True)
    for column in ("forward", "quartiles", "+ backward", "quartiles", "params"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        if "error" in row:
            table.add_row(row["operator"], "[red]failed[/]")
            continue
        cells = [row["operator"]]
        for part in ("forward", "forward_backward"):
            times = row[part]
            cells += [f"{times['median_ms']:.3f}", f"{times['low_quartile_ms']:.3f}-{times['high_quartile_ms']:.3f}"]
        table.add_row(*cells, f"{row['params']:,}")
    console.print(table)
    for row in rows:
        if "error" in row:
            console.print(f"{row['operator']}: {row['error']}", style="red", markup=False)
