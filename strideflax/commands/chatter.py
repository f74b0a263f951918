"""Lines that XLA writes about itself, kept from the terminal; everything else that anyone writes there comes through.

XLA writes them in C++, past Python, and some of what tells a person nothing has the rank of an error. So neither Python's
`logging` nor TF_CPP_MIN_LOG_LEVEL can tell them apart: they have to be taken out of the stream. A process of its own does that,
and not a thread, so that the last words of a process that is killed or aborts come through too.
"""

import atexit
import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from strideflax.commands.endings import terminal_output

# Each says that a measurement of XLA's own, by which it chooses kernels, was a poor one.
CHATTER = (
    "Delay kernel timed out: measured time has sub-optimal accuracy",
    "Skipping the delay kernel, measurement accuracy will be reduced",
)
GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA's on Linux, in WSL; AMD's

# Reads standard input until its last writer has gone, and writes it to standard output without the lines that hold one of its
# words. What is no whole line yet, such as a progress bar, waits for a tenth of a second at most.
_FILTER = """
import os, select, sys
chatter, pending = [word.encode() for word in sys.argv[1:]], b""
def pass_on(line):
    if not any(word in line for word in chatter):
        os.write(1, line)
while True:
    if pending and not select.select([0], [], [], 0.1)[0]:
        pass_on(pending)
        pending = b""
    block = os.read(0, 65536)
    *lines, pending = (pending + block).split(b"\\n")
    for line in lines:
        pass_on(line + b"\\n")
    if not block:
        break
if pending:
    pass_on(pending)
"""


def has_gpu() -> bool:
    """Return whether this machine may have a GPU, without asking JAX, which takes a second."""
    return any(Path(device).exists() for device in GPU_DEVICES)


def drop_chatter(words: Sequence[str] = CHATTER) -> None:
    """Let no line that holds one of ``words`` reach standard error, of this process and of those that it starts from now on.

    Python's own `sys.stderr` still writes to where it did.
    """
    terminal = os.dup(2)
    filtering = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _FILTER, *words],
        stdin=subprocess.PIPE, stdout=terminal, stderr=subprocess.DEVNULL, start_new_session=True,  # no Ctrl-C for it
    )  # fmt: skip
    assert filtering.stdin is not None
    sys.stderr.flush()
    os.dup2(filtering.stdin.fileno(), 2)
    filtering.stdin.close()
    sys.stderr = (
        terminal_output(terminal)
        if os.isatty(terminal)
        else os.fdopen(os.dup(terminal), "w", buffering=1, encoding="utf-8", errors="replace")
    )
    atexit.register(_end, filtering, terminal)


def _end(filtering: "subprocess.Popen[bytes]", terminal: int) -> None:
    """Let the filter pass on what it has, before the process is gone and a prompt is printed."""
    os.dup2(terminal, 2)
    with contextlib.suppress(subprocess.TimeoutExpired):
        filtering.wait(1)
