"""Measure all of this into one folder: the comparison with PyTorch, the overhead, every axis.

For a machine that is lent for an hour, as one with an accelerator may be. Each part is a process of its own, so that none
holds the device or takes the others down with it; what could not be done is said at the end.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from strideflax.benchmark.axes import AXES
from strideflax.benchmark.contenders import SHARED_MEMORY
from strideflax.benchmark.remote import process_environment
from strideflax.commands.bench_options import SHIPPED, add_comparison, add_torch
from strideflax.commands.console import console

MISTAKE = 2  # the exit status for what the user should mend


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_comparison(parser)
    add_torch(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("bench"), metavar="DIR", help="folder for the results (default: %(default)s)"
    )


def main(args: argparse.Namespace) -> None:
    """Do each part as by its own command; stop at once if the first finds a mistake, exit with 1 if another part failed."""
    args.out.mkdir(parents=True, exist_ok=True)
    parts = part_words(args)
    failed = []
    for number, (name, words) in enumerate(parts.items(), 1):
        console.print(f"{number}/{len(parts)} {name}", style="bold", markup=False)
        status = run_part([*words, "--rounds", str(args.rounds), "--out", str(args.out / f"{name}.json")])
        if status == MISTAKE and number == 1:
            raise SystemExit(MISTAKE)
        if status != 0:
            failed.append(name)
    if failed:
        console.print(f"not done, or not wholly, see above: {', '.join(failed)}", style="red", markup=False)
        raise SystemExit(1)


def part_words(args: argparse.Namespace) -> dict[str, list[str]]:
    """Return the words of each part: the comparison is of all configs, the others are of the first."""
    configs = args.config or list(SHIPPED)
    chosen = ["--dtypes", args.dtypes, "--batches", args.batches, "--only", args.only]
    compared = [*chosen, "--torch-python", args.torch_python, "--config", *configs]
    first = ["--config", configs[0], *args.overrides]
    parts = {"against": ["against", "torch", *compared, *args.overrides], "overhead": ["overhead", *first]}
    for axis in AXES:
        parts[f"scaling_{axis}"] = ["scaling", axis, *first]
    return parts


def run_part(words: list[str]) -> int:
    """Run ``bench`` with these words and return its exit status."""
    command = [sys.executable, "-m", "strideflax", "bench", *words]
    return subprocess.run(command, env=process_environment() | SHARED_MEMORY).returncode
