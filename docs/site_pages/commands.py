"""The help of every command, as the program prints it."""

import contextlib
import io
import os
from pathlib import Path

from site_pages.documents import write_if_changed
from strideflax.commands import bench
from strideflax.commands.command_line import COMMANDS, program_parser

COLUMNS = "88"


def write(root: Path, generated: Path) -> None:
    """Write ``help/COMMAND.txt`` for each command, and ``help/bench_WHAT.txt`` for those of ``bench``."""
    for name in COMMANDS:
        write_if_changed(generated / "help" / f"{name}.txt", help_of(name))
    for name in bench.COMMANDS:
        write_if_changed(generated / "help" / f"bench_{name}.txt", help_of("bench", name))


def help_of(*words: str) -> str:
    """Return what ``strideflax WORDS --help`` prints, in lines that fit a page."""
    os.environ["COLUMNS"] = COLUMNS  # where argparse looks for the width
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        program_parser().parse_args([*words, "--help"])
    return printed.getvalue()
