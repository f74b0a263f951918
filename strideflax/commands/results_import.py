"""Write the runs of a file into a folder, which a sweep, a report or a notebook then goes on with.

strideflax results import ablation.jsonl.gz
strideflax results import ablation.jsonl.gz runs/ablation
"""

import argparse
from pathlib import Path

from strideflax.commands.console import console, loading
from strideflax.commands.parsing import check_folder
from strideflax.wording import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="what strideflax results export wrote")
    parser.add_argument(
        "folder", type=Path, nargs="?", metavar="RUNS", help="the folder of runs (default: runs/NAME, after the file)"
    )


def main(args: argparse.Namespace) -> None:
    """Write the folders and say what became of the runs."""
    with loading("pandas"):
        from strideflax.analysis.run_archive import import_runs

    folder = args.folder or Path("runs") / args.file.name.removesuffix(".gz").removesuffix(".jsonl")
    check_folder(folder, "choose another folder for the runs")
    found = import_runs(args.file, folder)
    line = f"{counted(found.written, 'run')} written to {folder}"
    if found.present:
        line += f"; {counted(found.present, 'run')} with a result there left alone"
    if found.unreadable:
        line += f"; {counted(found.unreadable, 'run')} left out, unreadable when exported"
    console.print(line, markup=False)
