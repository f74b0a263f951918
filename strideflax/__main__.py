"""The program: ``strideflax COMMAND``, also ``python -m strideflax COMMAND``."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType


def main(words: Sequence[str]) -> None:
    """Run the command that ``words`` name."""
    from strideflax.commands.command_line import program_parser, run_words

    run_words(program_parser(), words)


def program(only: str = "") -> None:
    """Run the words of this process: those of any command, or of ``only`` one, as ``train.py`` does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end_at_once)  # until the imports below are done
    from strideflax.commands import command_line, endings

    endings.prepare_files()
    endings.watch_signals()
    with endings.nothing_to_put_away():
        parser = command_line.command_parser(only) if only else command_line.program_parser()
    try:
        command_line.run_words(parser, sys.argv[1:])
    except SystemExit as end:
        if (
            isinstance(end.code, int) and end.code > 128
        ):  # stopped from outside, and all is put away: wait for nothing more
            os._exit(end.code)
        raise


def _end_at_once(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    program()
