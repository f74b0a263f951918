"""How a command ends: by itself, by a mistake, by a signal, or because nobody reads what it prints.

| ending | exit status |
|---|---|
| the work is done | 0 |
| a run failed, a comparison did not hold; an internal error, with its traceback | 1 |
| a user's mistake, a full disk: one line | 2 |
| `sweep --minutes`: the time is up with runs left, and the same command goes on | 75 |
| Ctrl-C (SIGINT), SIGTERM, SIGHUP (the terminal was closed) | 130, 143, 129 |
| the reader of a pipe has gone (``| head -1``): nothing more is said | 141 |
"""

import contextlib
import errno
import io
import os
import signal
import socket
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

from strideflax.errors import UserError, one_line
from strideflax.process import STOP_SIGNALS, StoppedAtOnce, heeded_signals

RUNS_ARE_LEFT = 75  # EX_TEMPFAIL of sysexits.h: try again
BROKEN_PIPE = 128 + 13  # SIGPIPE, which Windows does not have
DROPPED = b"\0"  # no signal has this number
_ends_at_once = threading.Event()
_one_ends = threading.RLock()


class _Stop:
    """What has become of the first signal: the exception it raised, whether that reached us, how often it is raised again."""

    number = 0
    raised: "weakref.ref[StoppedAtOnce] | None" = None
    answered = False
    echoes = 0
    is_echo = False  # the handler's next call is one of them
    told: socket.socket | None = None  # where numbers are written for `_watch` to read


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
        _Stop.answered = True
        _say("interrupted")
        raise SystemExit(getattr(stop, "exit_code", 128 + signal.SIGINT)) from None
    finally:
        _drop_what_nobody_reads()


def _mistake(line: str) -> None:
    # A save that failed leaves coroutines behind, of which Python tells as it ends.
    warnings.filterwarnings("ignore", message="coroutine .* was never awaited", category=RuntimeWarning)
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


def prepare_files() -> None:
    """Open standard input, output and error where they are closed, lest a file that is opened later take their place.

    Where they are a terminal, let its closing be no error of whoever prints: SIGHUP tells it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    if sys.stdout.isatty():
        sys.stdout = terminal_output(1)
    elif isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # as standard error: some encodings lack letters of file names
    if sys.stderr.isatty():
        sys.stderr = terminal_output(2)


class _Terminal(io.FileIO):
    """A terminal to which nothing is said any more once it is closed, so that a run can still save and end by SIGHUP."""

    def write(self, data: Any) -> int:
        """Write ``data``, if anybody still reads it."""
        try:
            return super().write(data) or 0
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return len(data)


def terminal_output(number: int) -> io.TextIOWrapper:
    """Return a text stream to the terminal behind the file ``number``, whose closing is no error."""
    raw = _Terminal(number, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors="replace", line_buffering=True)


def watch_signals() -> None:
    """Let the first SIGINT, SIGTERM or SIGHUP stop the command as soon as its work allows, and the second at once.

    One that was ignored from the start stays so, see `heeded_signals`.

    Python runs a signal's handler in the main thread between two of its instructions, and compiling a program is a single one
    that can take half a minute. So a thread of its own reads the signals' numbers, from the file that Python writes them to
    when they come; it says at the first one that it has been heard, and ends the process at the second.
    """
    for number in heeded_signals():
        signal.signal(number, _stop)
    heard, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    _Stop.told = told
    threading.Thread(target=_watch, args=(heard,), name="signals", daemon=True).start()


@contextlib.contextmanager
def nothing_to_put_away() -> Iterator[None]:
    """While in this context, let a signal end the process at once: half-done imports are no place to raise an exception."""
    _ends_at_once.set()
    try:
        yield
    finally:
        _ends_at_once.clear()


def _stop(number: int, frame: FrameType | None) -> None:
    if _ends_at_once.is_set():
        _end_at_once(number)
    if _Stop.number and not _Stop.is_echo:
        return  # a second signal: `_watch` ends the process, and an exception on top of the first would be shown
    _Stop.is_echo = False
    raise _watched(number)


def _watched(number: int) -> StoppedAtOnce:
    """Return the exception, so watched that its end is noticed; no frame of its traceback may hold it, or it would not end.

    An exception that a handler raises surfaces wherever Python happens to be. Now and then that is a callback of a library
    which drops it, and the command would go on as if nobody had asked.
    """
    stop = StoppedAtOnce(number)
    _Stop.number, _Stop.raised = number, weakref.ref(stop, _dropped)
    return stop


def _dropped(reference: object) -> None:
    """Tell `_watch` that the exception is gone; raised from here it would be dropped again, as this is a callback too."""
    if not _Stop.answered and _Stop.told is not None:
        _Stop.told.send(DROPPED)


def _raise_again() -> None:
    """Send the first signal to the main thread once more, unless its exception was answered."""
    time.sleep(0.05)  # until the callback that dropped it is left
    if not _Stop.answered:
        _Stop.echoes += 1
        _Stop.is_echo = True
        signal.pthread_kill(threading.main_thread().ident or 0, _Stop.number)


def _watch(heard: socket.socket) -> None:
    """Answer the signals' numbers as they come."""
    stopping = False
    while numbers := heard.recv(1):
        if numbers == DROPPED:
            _raise_again()
            continue
        number = numbers[0]
        if number not in STOP_SIGNALS:
            continue
        if _Stop.echoes:
            _Stop.echoes -= 1
            continue
        if stopping or _ends_at_once.is_set():
            _end_at_once(number)
        stopping = True
        if number == signal.SIGINT and not _Stop.answered:
            _write(b"\nstopping; press Ctrl-C again to stop at once\n")


def _end_at_once(number: int) -> NoReturn:
    with _one_ends:  # the main thread and `_watch` may both have heard the signal
        _write(b"\ninterrupted\n")
        os._exit(128 + number)


def _write(line: bytes) -> None:
    """Write to standard error past Python's buffers, which the main thread may hold."""
    with contextlib.suppress(OSError):
        os.write(2, line)
