"""Measure on a GPU what decides whether it is used well, in under twelve minutes.

For a card that is lent for minutes, on a machine with jax, flax, optax, orbax and PyTorch alone. Each part is a process with a
time limit of its own and stores row after row; the same command goes on with what is missing.
"""

import argparse
import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.table import Table

from strideflax.commands.console import console, print_table, print_text
from strideflax.commands.parsing import at_least_one
from strideflax.errors import UserError

# The seconds that each part may take, in the order in which they matter if time runs out.
PARTS = {
    "starts": 100, "same_bits": 120, "limits": 60, "steps": 360, "sizes": 60, "dispatches": 120, "shapes": 120, "recipe": 180,
}  # fmt: skip
SHORTEST_PART_SECONDS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--parts", default=",".join(PARTS), metavar="A,B", help="default: %(default)s")
    parser.add_argument(
        "--minutes", type=at_least_one, default=12, metavar="N", help="at most, in all (default: %(default)s)"
    )
    parser.add_argument("--small", action="store_true", help="a setting that a CPU does in minutes, to try it out")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("bench_gpu"),
        metavar="DIR",
        help="folder for the results (default: %(default)s)",
    )


def main(args: argparse.Namespace) -> None:
    """Do each part, print one table, and exit with 1 if a line does not hold or a part is missing."""
    names = args.parts.split(",")
    for name in names:
        if name not in PARTS:
            raise UserError(f"--parts must be some of {', '.join(PARTS)}, got {name!r}")
    args.out.mkdir(parents=True, exist_ok=True)
    environment = _environment()
    end = time.monotonic() + 60 * args.minutes
    missing = {}
    for name in names:
        reason = _run_part(name, args, environment, end)
        if reason:
            missing[name] = reason
    all_hold = _report(args.out, names)
    for name, reason in missing.items():
        console.print(f"{name}: not done, or not wholly: {reason}", style="red", markup=False)
    if missing:
        console.print(f"the same command with --out {args.out} goes on with them", markup=False)
    if missing or not all_hold:
        raise SystemExit(1)


def _environment() -> dict[str, str]:
    """Return the variables of the parts; a package that they need little of is stood in for where it is missing."""
    from strideflax.benchmark.contenders import SHARED_MEMORY
    from strideflax.benchmark.remote import process_environment

    try:
        for package in ("ml_collections", "PIL", "matplotlib"):
            importlib.import_module(package)
    except ImportError:
        import strideflax.benchmark

        sys.path.insert(0, str(Path(strideflax.benchmark.__path__[0]) / "bare_machine"))
    return process_environment() | SHARED_MEMORY


def _run_part(name: str, args: argparse.Namespace, environment: dict[str, str], end: float) -> str:
    """Do what is left of a part, within its limit and before ``end``; return why it is not done, or ""."""
    from strideflax.benchmark.part_results import PartResults

    path = args.out / f"{name}.json"
    if PartResults(path).is_done:
        console.print(f"{name}: measured before, in {path}", style="dim", markup=False)
        return ""
    limit = min(PARTS[name], end - time.monotonic())
    if limit < SHORTEST_PART_SECONDS:
        return f"the {args.minutes} minutes are over"
    console.print(f"{name}: at most {limit:.0f} s ...", style="dim", markup=False)
    command = [sys.executable, "-m", "strideflax.benchmark.gpu_parts", name, str(path)]
    if args.small:
        command.append("--small")
    start = time.monotonic()
    with (args.out / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            return f"it took more than {limit:.0f} s"
        finally:
            _end_group(process)
    console.print(f"{name}: {time.monotonic() - start:.0f} s", style="dim", markup=False)
    if status == 2:  # as of a command: the user's mistake, told in a line
        return Path(log.name).read_text().splitlines()[-1]
    return f"it ended with {status}, see {log.name}" if status else ""


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """End a part and all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _report(folder: Path, names: list[str]) -> bool:
    """Print the lines of all parts, store them, and return whether all that are decided hold."""
    from strideflax.benchmark.gpu_report import report_lines
    from strideflax.benchmark.part_results import PartResults
    from strideflax.files import write_json

    parts: dict[str, Any] = {}
    about: dict[str, Any] = {}
    for name in names:
        results = PartResults(folder / f"{name}.json")
        parts[name] = results.rows
        about |= results.about
    lines = report_lines(parts)
    versions = ", ".join(f"{name} {about['versions'][name]}" for name in ("jax", "flax")) if about else ""
    title = f"{about['device']}, {versions}" if about else None
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    for column in ("what", "measured", "target", ""):
        table.add_column(column)
    verdicts = {True: "holds", False: "FAILS", None: ""}
    for line in lines:
        table.add_row(line.what, line.measured, line.target, verdicts[line.holds])
    print_table(table)
    write_json(folder / "lines.json", {"about": about, "lines": [vars(line) for line in lines], "parts": parts})
    decided = [line.holds for line in lines if line.holds is not None]
    print_text(f"{sum(decided)} of {len(decided)} lines hold; stored in {folder / 'lines.json'}")
    return all(decided)
