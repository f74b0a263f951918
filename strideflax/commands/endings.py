"""How a command ends: by itself, by a mistake, by a signal, or because nobody reads what it prints.

| ending | exit status |
|---|---|
| the work is done | 0 |
| a run failed, a comparison did not hold; an internal error, with its traceback | 1 |
| a user's mistake, a full disk: one line | 2 |
| Ctrl-C (SIGINT), SIGTERM, SIGHUP (the terminal was closed) | 130, 143, 129 |
| the reader of a pipe has gone (``| head -1``): nothing more is said | 141 |
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType

from strideflax.errors import UserError, one_line
from strideflax.process import StoppedAtOnce

BROKEN_PIPE = 128 + signal.SIGPIPE


def answer(run: Callable[[], None]) -> None:
    """Call ``run`` and end as the table above says."""
    try:
        run()
        sys.stdout.flush()
    except UserError as error:
        _mistake(one_line(error))
    except BrokenPipeError:
        raise SystemExit(BROKEN_PIPE) from None
    except OSError as error:  # a full disk, a read-only folder
        where = f": {error.filename}" if error.filename else ""
        _mistake(f"{error.strerror or one_line(error)}{where}")
    except (KeyboardInterrupt, StoppedAtOnce) as stop:
        _say("interrupted")
        raise SystemExit(getattr(stop, "exit_code", 128 + signal.SIGINT)) from None
    finally:
        _drop_what_nobody_reads()


def _mistake(line: str) -> None:
    _say(f"error: {line}")
    raise SystemExit(2)


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that was closed
        print(line, file=sys.stderr, flush=True)


def _drop_what_nobody_reads() -> None:
    """Send what could not be printed nowhere, or Python would try once more at its end and complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def open_closed_files() -> None:
    """Open standard input, output and error where they are closed, lest a file that is opened later take their place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def watch_signals() -> None:
    """Let the first SIGINT, SIGTERM or SIGHUP stop the command as soon as its work allows, and the second at once.

    Python runs a signal's handler in the main thread between two of its instructions, and compiling a program is a single one
    that can take half a minute. So a thread of its own reads the signals' numbers, from the file that Python writes them to
    when they come; it says at the first one that it has been heard, and ends the process at the second.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    heard, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(heard, told), name="signals", daemon=True).start()


def _stop(number: int, frame: FrameType | None) -> None:
    raise StoppedAtOnce(number)


def _watch(heard: socket.socket, told: socket.socket) -> None:
    """Answer the signals' numbers; ``told`` is only kept from being closed."""
    stopping = False
    while numbers := heard.recv(1):
        number = numbers[0]
        if number not in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            continue
        if stopping:
            os._exit(128 + number)
        stopping = True
        if number == signal.SIGINT:
            with contextlib.suppress(OSError):
                os.write(2, b"\nstopping; press Ctrl-C again to stop at once\n")
