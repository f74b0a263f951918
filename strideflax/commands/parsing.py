"""How a command line is parsed: a mistake is one line, and commands may have commands of their own."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from strideflax.errors import UserError


class Command(Protocol):
    """A module of `strideflax.commands`."""

    __doc__: str | None

    def add_arguments(self, parser: "Parser") -> None:
        """Add the command's arguments."""

    def main(self, args: argparse.Namespace) -> None:
        """Do what the arguments say."""


class Parser(argparse.ArgumentParser):
    """A parser that answers a mistake in one line and exits with 2."""

    def __init__(self, **options: Any):
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(**{"formatter_class": formatter, "allow_abbrev": False, **options})

    def error(self, message: str) -> Any:
        """Print one line and exit with 2."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and answer an unknown word here, where the right ``--help`` is known: argparse leaves it to the outermost."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown


def add_command(parser: Parser, command: Command) -> Parser:
    """Make ``parser`` that of ``command``, and return it."""
    parser.description = command.__doc__
    parser.set_defaults(main=command.main, parser=parser)
    command.add_arguments(parser)
    return parser


def add_commands(parser: Parser, commands: Mapping[str, Command]) -> None:
    """Let the next word of ``parser`` choose one of ``commands``."""
    choices = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for name, command in commands.items():
        summary = (command.__doc__ or "").strip().splitlines()[0].rstrip(".:")
        add_command(choices.add_parser(name, help=summary), command)


def add_config_argument(parser: argparse.ArgumentParser, example: str = "configs/stride2.py") -> None:
    """Add that of a command that takes one configuration; ``--config.FIELD=VALUE`` words are collected apart."""
    parser.add_argument("--config", required=True, metavar="FILE[:VARIANT]", help=f"e.g. {example}")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add those of a command that uses a finished run."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "--config",
        dest="config_file",
        metavar="FILE",
        help="the run's config file, if it defines an operator of its own",
    )


def check_folder(folder: Path, advice: str) -> None:
    """Raise UserError, which ends with ``advice``, if ``folder`` is a file: nothing can be written into that."""
    if folder.is_file():
        raise UserError(f"{folder} is a file; {advice}")


def at_least_one(text: str) -> int:
    """Return the int >= 1 that ``text`` says; for the ``type`` of an argument."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an int >= 1, got {text!r}")
    return int(text)


def minutes(text: str) -> float:
    """Return the minutes > 0 that ``text`` says; for the ``type`` of an argument."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number > 0, got {text!r}")
    return number


def add_fast_nondeterministic(parser: argparse.ArgumentParser) -> None:
    """Add the choice of speed over equal bits, which is one on a GPU alone."""
    parser.add_argument(
        "--fast-nondeterministic",
        action="store_true",
        help="on a GPU: steps 5 to 8 %% faster, five times the compilation, and no second run has the same bits",
    )
