"""Write the runs below a folder into one file.

strideflax results export runs/ablation ablation.jsonl.gz
"""

import argparse
from pathlib import Path

from strideflax.commands.console import console, loading
from strideflax.wording import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("runs", type=Path, metavar="RUNS", help="a folder of runs")
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="the .jsonl or .jsonl.gz file: configs, results, numbers of measures"
    )


def main(args: argparse.Namespace) -> None:
    """Write the file and say what is in it."""
    with loading("pandas"):
        from strideflax.analysis.run_archive import export_runs

    count = export_runs(args.runs, args.file)
    size = args.file.stat().st_size / 1000
    console.print(f"{counted(count, 'run')} in {args.file} ({size:,.0f} kB)", markup=False)
