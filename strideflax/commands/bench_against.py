"""Compare whole training steps and operators with a rival, as ratios with their spread.

strideflax and its rivals run in processes of their own, which take turns.
"""

import argparse
import importlib.util
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from strideflax.benchmark.contenders import REFERENCE, RIVALS
from strideflax.commands.bench_options import SHIPPED, add_comparison, add_out, add_torch
from strideflax.commands.console import console, fits, loading, print_table, print_text
from strideflax.commands.parsing import at_least_one
from strideflax.errors import UserError

if TYPE_CHECKING:
    from strideflax.benchmark.workloads import Workload


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the rivals, each with its arguments."""
    rivals = parser.add_subparsers(title="rivals", metavar="RIVAL")
    lax = rivals.add_parser("lax", help="XLA's plain formulation, with XLA's gradients")
    torch = rivals.add_parser("torch", help="the same, and PyTorch: eager in both layouts, and compiled")
    for rival, choice in (("lax", lax), ("torch", torch)):
        choice.set_defaults(main=main, parser=choice, rival=rival, check=False, torch_python=sys.executable)
        add_comparison(choice)
        add_out(choice)
    lax.add_argument(
        "--check", action="store_true", help="instead, fail if one of a few operators is below its stated ratio"
    )
    add_torch(torch)


def main(args: argparse.Namespace) -> None:
    """Measure, or check the floors."""
    if not hasattr(args, "rival"):
        args.parser.error(f"the rival is missing; known: {', '.join(RIVALS)}")
    if args.check and args.config:
        args.parser.error("--check measures operators alone, --config means nothing there")
    if args.check:
        _check(args)
    else:
        _against(args)


def _against(args: argparse.Namespace) -> None:
    """Measure, print and store; exit with 1 if a rival did not compute the same."""
    with loading():
        from strideflax.benchmark.peaks import peaks, shares_of_peak
        from strideflax.benchmark.ratios import PROTOCOL, introduce, measure_ratios
        from strideflax.benchmark.remote import open_contenders
        from strideflax.benchmark.workloads import limits
        from strideflax.files import write_json

    own_python = args.torch_python == sys.executable
    if args.rival == "torch" and own_python and importlib.util.find_spec("torch") is None:
        raise UserError(
            "PyTorch is not installed; pip install 'strideflax[torch]' or give a --torch-python that has it"
        )
    workloads = _workloads(args)
    start, load = time.perf_counter(), os.getloadavg()[0]
    with open_contenders((REFERENCE, *RIVALS[args.rival]), torch_python=args.torch_python) as contenders:
        about = introduce(contenders)
        if "left_out" in about[REFERENCE]:
            raise UserError(f"{REFERENCE} can't start: {about[REFERENCE]['left_out']}")
        for name, entry in about.items():
            console.print(f"{name}: {entry['description']}" + _left_out(entry), markup=False)
        present = {name: contender for name, contender in contenders.items() if "left_out" not in about[name]}
        if load > 0.5:
            console.print(
                f"load average {load:.1f} before it starts: other programs disturb the ratios", style="yellow"
            )
        workloads = [*limits(_dtypes(args), about[REFERENCE].get("platform", "cpu")), *workloads]
        rows: list[dict[str, Any]] = []
        stored: dict[str, Any] = {
            "protocol": PROTOCOL, "rounds": args.rounds, "device": about[REFERENCE]["device"], "contenders": about,
            "load_average_before": load, "rows": rows,
        }  # fmt: skip
        for row in measure_ratios(present, workloads, rounds=args.rounds):
            rows.append(row)
            arithmetic = peaks(rows, "product", "gflops_per_second")
            row["shares_of_peak"] = shares_of_peak(row["times"], arithmetic.get(row["dtype"]))
            stored |= {
                "peaks_gflops_per_second": arithmetic,
                "peaks_gigabytes_per_second": peaks(rows, "increment", "gigabytes_per_second"),
                "seconds": time.perf_counter() - start,
            }
            write_json(args.out, stored)  # after every row, so that an interruption costs one
            console.print(f"{len(rows)}/{len(workloads)} {row['name']}", style="dim", markup=False)
    _print_rows(rows, [name for name in present if name != REFERENCE], about[REFERENCE]["device"])
    for dtype, peak in stored["peaks_gflops_per_second"].items():
        console.print(f"matrix product, {dtype}: {peak:,.0f} GFLOP/s at most, of all contenders", markup=False)
    for dtype, peak in stored["peaks_gigabytes_per_second"].items():
        console.print(f"memory, {dtype}: {peak:,.1f} GB/s at most, of all contenders", markup=False)
    print_text(f"{PROTOCOL}; stored in {args.out}")
    if any("differs" in row for row in rows):
        raise SystemExit(1)


def _check(args: argparse.Namespace) -> None:
    """Check the floors that the options leave against the plain formulation; exit with 1 if one is not reached."""
    with loading():
        from strideflax.benchmark.floors import ATTEMPTS, CORES, FLOORS, check_floors
        from strideflax.benchmark.ratios import PROTOCOL, introduce
        from strideflax.benchmark.remote import open_contenders
        from strideflax.files import write_json

    dtypes = _dtypes(args)
    floors = [floor for floor in FLOORS if args.only in floor.workload.name and floor.workload.dtype in dtypes]
    if not floors:
        raise UserError(
            f"--only {args.only!r} and --dtypes {args.dtypes} leave no floor, such as {FLOORS[0].workload.name!r}"
        )
    with open_contenders((REFERENCE, "lax"), cores=CORES) as contenders:
        about = introduce(contenders)
        rows = []
        for row in check_floors(contenders, floors, rounds=args.rounds):
            rows.append(row)
            found = row["ratios"].get("lax")
            measured = _spread(found) if found else row.get("failed") or row.get("differs")
            verdict = "holds" if row["passed"] else "TOO SLOW" if found else "FAILED"
            console.print(
                f"{verdict}: {row['name']}: {measured} times lax, at least {row['floor']:g}, "
                f"measurement {row['attempts']} of {ATTEMPTS}",
                markup=False,
            )
    write_json(args.out, {"protocol": PROTOCOL, "device": about[REFERENCE].get("device"), "rows": rows})
    if not all(row["passed"] for row in rows):
        raise SystemExit(1)


def _workloads(args: argparse.Namespace) -> "list[Workload]":
    from strideflax.benchmark.workloads import Step, operators
    from strideflax.config_file import read_config

    dtypes = _dtypes(args)
    configs = [(spec, read_config(spec, args.overrides)) for spec in args.config or SHIPPED]
    listed: list[Workload] = []
    for dtype in dtypes:
        for spec, config in configs:
            for batch in _batches(args) or [config.batch_size]:
                changed = replace(config, batch_size=batch)
                listed.append(Step.of(Path(spec.split(":")[0]).stem, changed, dtype=dtype))
    for dtype in dtypes:
        listed += operators(dtype)
    chosen = [workload for workload in listed if args.only in workload.name]
    if not chosen:
        raise UserError(f"--only {args.only!r} leaves no workload; names are such as {listed[0].name!r}")
    return chosen


def _batches(args: argparse.Namespace) -> list[int]:
    try:
        return [at_least_one(word) for word in args.batches.split(",")] if args.batches else []
    except argparse.ArgumentTypeError as error:
        raise UserError(f"--batches: {error}") from None


def _dtypes(args: argparse.Namespace) -> list[str]:
    from strideflax.model.config import DTYPES

    dtypes: list[str] = args.dtypes.split(",")
    if unknown := [dtype for dtype in dtypes if dtype not in DTYPES]:
        raise UserError(f"--dtypes must be some of {', '.join(DTYPES)}, got {unknown[0]!r}")
    return dtypes


def _left_out(entry: dict[str, Any]) -> str:
    if "left_out" in entry:
        return f"; left out: {entry['left_out']}"
    packages = ", ".join(f"{name} {entry['versions'][name]}" for name in ("jax", "torch") if name in entry["versions"])
    return f" ({packages})"


def _spread(ratio: dict[str, Any]) -> str:
    return f"{ratio['median']:.2f} ({ratio['lowest']:.2f}-{ratio['highest']:.2f})"


def _print_rows(rows: list[dict[str, Any]], rivals: list[str], device: str) -> None:
    table = _rows_table(rows, rivals, device, narrow=False)
    if not fits(table):
        table = _rows_table(rows, rivals, device, narrow=True)
    print_table(table)
    for row in rows:
        for what in ("failed", "differs"):
            for name, reason in row.get(what, {}).items():
                console.print(f"no ratio: {row['name']}: {name} {what}: {reason}", style="red", markup=False)


def _rows_table(rows: list[dict[str, Any]], rivals: list[str], device: str, *, narrow: bool) -> Table:
    """Return the table; a ``narrow`` one has each ratio's spread on a line below it."""
    title = f"strideflax's speed over each rival's (median, lowest-highest of the rounds) on {device}"
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    table.add_column("workload")
    for column in ("strideflax", *rivals):
        table.add_column(column, justify="right")
    for row in rows:
        cells = [_speed(row["times"].get(REFERENCE))]
        cells += [_spread(row["ratios"][rival]) if rival in row["ratios"] else "-" for rival in rivals]
        if narrow:
            cells = [cell.replace(" ", "\n").replace("(", "").replace(")", "") for cell in cells]
        table.add_row(row["name"], *cells)
    return table


def _speed(times: dict[str, Any] | None) -> str:
    if times is None:
        return "failed"
    if "images_per_second" in times:
        return f"{times['images_per_second']:,.0f} images/s"
    return f"{times['median_ms']:.3f} ms"
