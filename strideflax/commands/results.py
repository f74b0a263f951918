"""Put the runs of a study into one file, and back.

strideflax results export runs/ablation ablation.jsonl.gz
strideflax results import ablation.jsonl.gz runs/ablation
"""

import argparse

from strideflax.commands import results_export, results_import
from strideflax.commands.parsing import Command, Parser, add_commands

COMMANDS: dict[str, Command] = {"export": results_export, "import": results_import}


def add_arguments(parser: Parser) -> None:
    """Let the next word choose the direction."""
    add_commands(parser, COMMANDS)


def main(args: argparse.Namespace) -> None:
    """Say what is missing, as each of `COMMANDS` has a ``main`` of its own."""
    args.parser.error(f"export or import is missing; known: {', '.join(COMMANDS)}")
