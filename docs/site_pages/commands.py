"""The help of every command, as the program prints it."""

import contextlib
import io
import os
from pathlib import Path
from unittest import mock

from site_pages.documents import write_if_changed
from strideflax.commands import bench, results
from strideflax.commands.command_line import COMMANDS, program_parser

COLUMNS = "88"


def write(root: Path, generated: Path) -> None:
    """Write ``help/COMMAND.txt`` for each command, and ``help/COMMAND_WHAT.txt`` for those of ``bench`` and ``results``."""
    for name in COMMANDS:
        write_if_changed(generated / "help" / f"{name}.txt", help_of(name))
    for name, command in (("bench", bench), ("results", results)):
        for inner in command.COMMANDS:
            write_if_changed(generated / "help" / f"{name}_{inner}.txt", help_of(name, inner))


def help_of(*words: str) -> str:
    """Return what ``strideflax WORDS --help`` prints, in lines that fit a page."""
    printed = io.StringIO()
    width = mock.patch.dict(os.environ, COLUMNS=COLUMNS)  # argparse looks for it there
    with width, contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        program_parser().parse_args([*words, "--help"])
    return printed.getvalue()
