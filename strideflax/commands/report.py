"""Write a report on a folder of runs."""

import argparse
from pathlib import Path

from strideflax.commands.console import console, loading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "source", type=Path, metavar="FOLDER_OR_FILE", help="a folder of runs, or a .jsonl(.gz) file of results"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the report (default: beside the results)")
    parser.add_argument(
        "--factor",
        default="model.downsample",
        metavar="FIELD",
        help="the config field whose values are compared (default: %(default)s)",
    )
    parser.add_argument("--baseline", metavar="VALUE", help="what the others are compared with (default: strided_conv)")


def main(args: argparse.Namespace) -> None:
    """Write the report and print where it lies."""
    with loading("pandas and matplotlib"):
        from strideflax.report.write import write_report

    out = args.out or (args.source if args.source.is_dir() else args.source.parent)
    page, *others = write_report(args.source, out, factor=args.factor, baseline=args.baseline)
    console.print(f"report in {page}; beside it {others[0].name}, {others[1].name} and figures/", markup=False)
