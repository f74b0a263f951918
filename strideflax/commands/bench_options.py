"""Options that several of the commands of ``bench`` have."""

import argparse
import sys
from pathlib import Path

from strideflax.commands.parsing import at_least_one

SHIPPED = tuple(f"configs/{name}.py" for name in ("stride2", "maxpool", "avgpool", "blurpool"))


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add the file of the results."""
    parser.add_argument("--out", type=Path, default=Path("bench.json"), metavar="FILE", help="default: %(default)s")


def add_rounds(parser: argparse.ArgumentParser) -> None:
    """Add how often each measurement is repeated."""
    parser.add_argument(
        "--rounds", type=at_least_one, default=5, metavar="N", help="turns of each measurement (default: %(default)s)"
    )


def add_one_config(parser: argparse.ArgumentParser) -> None:
    """Add the one config that is measured, how often, and the file of the results."""
    parser.add_argument("--config", default=SHIPPED[0], metavar="FILE.py[:ARG]", help="default: %(default)s")
    add_rounds(parser)
    add_out(parser)


def add_comparison(parser: argparse.ArgumentParser) -> None:
    """Add what says which workloads are compared."""
    parser.add_argument("--config", nargs="+", metavar="FILE.py[:ARG]", help=f"default: {' '.join(SHIPPED)}")
    parser.add_argument("--dtypes", default="float32,bfloat16", metavar="A,B", help="default: %(default)s")
    parser.add_argument(
        "--batches", default="", metavar="N,N", help="batch sizes of the training steps (default: each config's)"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="workloads whose name holds TEXT")
    add_rounds(parser)


def add_torch(parser: argparse.ArgumentParser) -> None:
    """Add the choice of PyTorch's interpreter."""
    parser.add_argument(
        "--torch-python",
        default=sys.executable,
        metavar="FILE",
        help="interpreter that has PyTorch (default: this one)",
    )
