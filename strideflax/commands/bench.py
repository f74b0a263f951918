"""Measure speed on this device.

strideflax bench operators max_pool blur_pool
strideflax bench against torch --only "training step"
"""

import argparse
from typing import Any

from strideflax.commands import bench_against, bench_all, bench_gpu, bench_operators, bench_overhead, bench_scaling
from strideflax.commands.parsing import Command, Parser, add_commands

COMMANDS: dict[str, Command] = {
    "operators": bench_operators,
    "against": bench_against,
    "scaling": bench_scaling,
    "overhead": bench_overhead,
    "all": bench_all,
    "gpu": bench_gpu,
}


def add_arguments(parser: Parser) -> None:
    """Let the next word choose what is measured."""
    add_commands(parser, COMMANDS)
    for name in COMMANDS:
        parser.add_argument(f"--{name}", nargs="*", action=_Renamed, help=argparse.SUPPRESS)


def main(args: argparse.Namespace) -> None:
    """Say what is missing, as each of `COMMANDS` has a ``main`` of its own."""
    args.parser.error(f"what to measure is missing; known: {', '.join(COMMANDS)}")


class _Renamed(argparse.Action):
    """Answers an option of version 0.1 that is a command now."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        name = (option_string or "").lstrip("-")
        parser.error(f"bench --{name} is now bench {name}")
