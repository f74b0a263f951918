"""Begin an experiment of your own: a folder with a commented config, a sweep and a notebook.

strideflax new my_experiment
"""

import argparse
import shlex
from pathlib import Path

from strideflax.commands.console import console
from strideflax.errors import UserError
from strideflax.files import write_whole

TEMPLATE = Path(__file__).parent / "new_experiment"
FILES = {
    "configs/mine.py": "one network: the baseline, and what you change of it",
    "configs/sweep.py": "the runs of a comparison, with paired seeds",
    "results.ipynb": "trains, looks at the run, and reads the sweep",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder that is empty or does not exist")


def main(args: argparse.Namespace) -> None:
    """Write the files, and print what they are and what to do next."""
    folder: Path = args.folder
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; give a folder that is empty or does not exist")
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty; give a folder that is empty or does not exist")
    for name in FILES:
        write_whole(folder / name, (TEMPLATE / name).read_bytes())
    for name, purpose in FILES.items():
        console.print(f"{folder / name}: {purpose}", markup=False)
    console.print(
        f"next: cd {shlex.quote(str(folder))} && strideflax train --config configs/mine.py:quick", markup=False
    )
