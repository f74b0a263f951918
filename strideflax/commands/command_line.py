"""Which commands there are, and how the words of the command line reach them.

A command is one module of this package. It has ``add_arguments(parser)``, ``main(args)`` and a docstring that begins with one
line for the list of commands. What takes long to import, above all JAX, it imports within ``main``, so that ``--help``
answers at once.
"""

import argparse
import importlib.metadata
from collections.abc import Sequence

from strideflax.commands import (
    bench,
    compare,
    data,
    evaluate,
    export,
    inspect,
    new,
    predict,
    report,
    results,
    sweep,
    train,
)
from strideflax.commands.chatter import drop_chatter, has_gpu
from strideflax.commands.endings import answer
from strideflax.commands.parsing import Command, Parser, add_command, add_commands

COMMANDS: dict[str, Command] = {
    "train": train,
    "inspect": inspect,
    "evaluate": evaluate,
    "bench": bench,
    "sweep": sweep,
    "compare": compare,
    "report": report,
    "results": results,
    "predict": predict,
    "export": export,
    "data": data,
    "new": new,
}


def program_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(prog="strideflax", description="Downsample by stride or by pooling? Train, measure and compare.")
    parser.add_argument("--version", action="version", version=f"strideflax {_version()}")
    parser.set_defaults(main=_without_command, parser=parser)
    add_commands(parser, COMMANDS)
    return parser


def _without_command(args: argparse.Namespace) -> None:
    args.parser.error(f"a command is missing; known: {', '.join(COMMANDS)}")


def command_parser(name: str) -> Parser:
    """Return the parser of one command, for a script that is that command alone."""
    return add_command(Parser(), COMMANDS[name])


def run_words(parser: Parser, words: Sequence[str]) -> None:
    """Run what ``words`` ask for; those like ``--config.FIELD=VALUE`` are collected in ``args.overrides``."""
    answer(lambda: _run(parser, words))


def _run(parser: Parser, words: Sequence[str]) -> None:
    overrides = [word for word in words if word.startswith("--config.")]
    args = parser.parse_args([word for word in words if not word.startswith("--config.")])
    if overrides and not hasattr(args, "config"):
        args.parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    args.overrides = overrides
    # Both must come before JAX and Orbax are imported.
    from strideflax.process import keep_memory, quiet_storage

    quiet_storage()
    keep_memory()
    if has_gpu():
        drop_chatter()
    args.main(args)


def _version() -> str:
    try:
        return importlib.metadata.version("strideflax")
    except importlib.metadata.PackageNotFoundError:
        return "(a checkout that is not installed)"
