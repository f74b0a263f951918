"""The command line: ``python -m strideflax COMMAND``."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

from strideflax.commands.console import answer_mistakes
from strideflax.training.memory import keep_memory
from strideflax.training.quiet import quiet_storage

COMMANDS = {
    "train": "train one configuration (also: python train.py)",
    "inspect": "show a model layer by layer: shapes, receptive fields, parameters, MACs, alignment",
    "evaluate": "add measures to a finished run",
    "bench": "time operators on this device",
    "sweep": "run a grid of configurations",
    "report": "write a report on a folder of runs",
    "data": "show which images would be used",
}


class Parser(argparse.ArgumentParser):
    """Argument parsing that answers a mistake in one line."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Print one line and exit with 2."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def run_command(command: ModuleType, argv: Sequence[str], *, prog: str, description: str | None = None) -> None:
    """Parse ``argv`` for a module of `strideflax.commands` and run it; ``--config.x=y`` words become ``args.overrides``."""
    quiet_storage()
    keep_memory()
    parser = Parser(
        prog=prog,
        description=description or command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    overrides = [word for word in argv if word.startswith("--config.")]
    args = parser.parse_args([word for word in argv if not word.startswith("--config.")])
    args.overrides = overrides
    if overrides and not hasattr(args, "config"):
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    answer_mistakes(lambda: command.main(args))


def main(argv: Sequence[str]) -> None:
    """Run the command that ``argv`` names."""
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: python -m strideflax COMMAND [...]\n")
        print("\n".join(f"  {name:9} {what}" for name, what in COMMANDS.items()))
        raise SystemExit(0 if argv else 2)
    name, *rest = argv
    if name not in COMMANDS:
        print(f"error: unknown command {name!r}; known: {', '.join(COMMANDS)}", file=sys.stderr)
        raise SystemExit(2)
    run_command(importlib.import_module(f"strideflax.commands.{name}"), rest, prog=f"python -m strideflax {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
