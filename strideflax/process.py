"""What a program of ours sets up before it works: how its memory, its signals and other libraries' messages are handled.

Nothing here happens on import. A program calls these because it owns its process; a library must not.
"""

import ctypes
import logging
import os
import platform
import signal
import sys
from types import FrameType
from typing import Any

# A variable of the environment: "1" lets a process and its children compile for speed alone, see `strideflax.programs`.
FAST_NONDETERMINISTIC = "STRIDEFLAX_FAST_NONDETERMINISTIC"

# glibc's malloc.h; the numbers are part of its binary interface.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_LARGEST_INT = 2**31 - 1


def be_fast() -> None:
    """Let this process and its children compile for speed alone: on a GPU two runs of one seed then differ."""
    os.environ[FAST_NONDETERMINISTIC] = "1"


def keep_memory() -> bool:
    """Make this process reuse freed memory at once rather than return it to the kernel; return whether it could.

    A training step on a CPU takes and frees some hundred MB. glibc's malloc maps a block of 32 MiB or more afresh each time,
    and drops the heap of a thread when its last block is freed; the kernel then fills every page with zeros again. One heap
    that is never trimmed spares that; the process holds on to its peak in return. Call it before XLA starts its threads: a
    thread that already has another heap keeps it.

    Nothing is done, and False returned, where the C library is not glibc, or on its refusal.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _LARGEST_INT), (_M_ARENA_MAX, 1))
    return all(mallopt(name, value) == 1 for name, value in settings)


def quiet_storage() -> None:
    """Silence what Orbax and its storage log about each save, and what their threads still say about a failed one."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.unraisablehook = _print_unless_known


def _print_unless_known(ignored: Any) -> None:
    """Print an exception that nobody can catch, as Python does, unless it is known why nobody has to.

    A thread that writes a checkpoint may outlive its failed save. A signal may come while a library's callback runs, such as
    JAX's at each garbage collection, which drops every exception; who raised `StoppedAtOnce` remembers the signal.
    """
    if isinstance(ignored.exc_value, StoppedAtOnce) or str(ignored.exc_value) == "Event loop is closed":
        return
    sys.__unraisablehook__(ignored)


# Ctrl-C, a polite request to end, and a terminal that was closed; Windows has no SIGHUP.
STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def heeded_signals() -> list[signal.Signals]:
    """Return those of `STOP_SIGNALS` that were not ignored when this process started.

    `nohup` ignores SIGHUP so that a command outlives its terminal, and a shell's script ignores SIGINT for what it starts
    with ``&``, so that Ctrl-C is for the script alone.
    """
    return [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


class StoppedAtOnce(BaseException):
    """The process is to end now, with nothing saved since the last checkpoint."""

    def __init__(self, number: int):
        super().__init__(number)
        self.exit_code = 128 + number


class StopSignal:
    """Takes over `heeded_signals` when made; call it after each step to ask whether one has come.

    Asked once, a run saves and stops after its step. Before the first step, or asked twice, it ends at once.
    """

    def __init__(self) -> None:
        self.number = 0
        self._stepping = False
        for number in heeded_signals():
            signal.signal(number, self._on_signal)

    def __call__(self) -> bool:
        """Return whether a signal has come."""
        self._stepping = True
        return self.number > 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        asked_before, self.number = self.number, number  # the number stays, should a library swallow the exception
        if asked_before or not self._stepping:
            raise StoppedAtOnce(number)
