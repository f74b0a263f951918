"""XLA's lines about itself do not reach the terminal, and all else does: real processes that write to file 2, past Python."""

import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from strideflax.__main__ import main
from strideflax.commands import chatter, command_line

DELAY = (
    "E0000 00:00:1764 cuda_timer.cc:86] Delay kernel timed out: measured time has sub-optimal accuracy. There may be a missing "
    "warmup execution, please investigate in Nsight Systems."
)
PROGRAM = """
import os, signal, subprocess, sys
from strideflax.commands.chatter import drop_chatter
drop_chatter()
"""


def run(body: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", PROGRAM + body], capture_output=True, text=True, timeout=60, **options)


def test_chatter_is_dropped_and_errors_come_through_in_their_order():
    done = run(f"""
for line in ("first", {DELAY!r}, "E0000 cuda_dnn.cc:1] a real error", {DELAY!r} + " again", "last"):
    os.write(2, line.encode() + b"\\n")
print("by Python", file=sys.stderr)
print("an answer")
""")
    assert (done.returncode, done.stdout) == (0, "an answer\n")
    lines = done.stderr.splitlines()
    assert [line for line in lines if line != "by Python"] == ["first", "E0000 cuda_dnn.cc:1] a real error", "last"]
    assert "by Python" in lines


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("os.abort()", -signal.SIGABRT),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os._exit(3)", 3),
        ("raise SystemExit(2)", 2),
    ],
)
def test_the_last_words_of_a_process_that_dies_come_through(end, code):
    done = run(f"os.write(2, b'Check failed: status is OK\\n' + {DELAY.encode()!r})\n{end}")
    assert (done.returncode, done.stderr) == (code, "Check failed: status is OK\n")


def test_a_traceback_and_a_line_without_an_end_come_through():
    done = run("os.write(2, b'no end')\nraise ValueError('of Python')")
    assert done.returncode == 1
    assert "ValueError: of Python" in done.stderr
    assert "no end" in done.stderr


def test_what_a_process_starts_is_filtered_too():
    done = run(f"subprocess.run(['sh', '-c', 'echo {DELAY} >&2; echo kept >&2'], check=True)")
    assert done.stderr == "kept\n"


def test_a_line_without_an_end_waits_a_moment_and_not_for_the_next():
    """As a progress bar, and a question before an answer."""
    body = "os.write(2, b'is it so?')\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM + body], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert select.select([process.stderr], [], [], 20)[0], "nothing was said in twenty seconds"
        assert os.read(process.stderr.fileno(), 100) == b"is it so?"
        process.communicate(timeout=60)


def test_a_process_ends_once_its_last_words_are_said_but_waits_for_nobody_else(tmp_path):
    """A filter that is stopped for a while says them late, and a child that lives on keeps it reading."""
    body = """
with open(f"/proc/self/task/{os.getpid()}/children") as children:
    filtering = children.read().split()[0]
os.kill(int(filtering), signal.SIGSTOP)
subprocess.Popen(["sh", "-c", f"exec 2>&-; sleep 0.3; kill -CONT {filtering}"])
os.write(2, b"last words\\n")
"""
    said = tmp_path / "said"
    with said.open("wb") as file:
        subprocess.run([sys.executable, "-c", PROGRAM + body], stderr=file, timeout=60, check=True)
        assert said.read_text() == "last words\n"
        start = time.monotonic()
        subprocess.run([sys.executable, "-c", PROGRAM + "subprocess.Popen(['sleep', '20'])"], stderr=file, timeout=60)
    assert time.monotonic() - start < 15


def test_ctrl_c_stops_the_program_and_not_what_it_says_of_that():
    body = """
os.write(2, b"begun\\n")
try:
    signal.pause()
except KeyboardInterrupt:
    os.write(2, b"stopped\\n")
"""
    command = [sys.executable, "-c", PROGRAM + body]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stderr.readline() == b"begun\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all that it started
        assert process.stderr.read() == b"stopped\n"
        assert process.wait(60) == 0


def test_in_a_terminal_python_still_writes_to_the_terminal():
    body = f"os.write(2, {DELAY.encode()!r} + b'\\n'); print(sys.stderr.isatty(), file=sys.stderr)"
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM + body],
        stdin=follower, stdout=follower, stderr=follower,
    ) as process:  # fmt: skip
        os.close(follower)
        assert process.wait(60) == 0
    seen = b""
    while True:
        try:
            block = os.read(leader, 1000)
        except OSError:  # Linux says so when nobody holds the other end
            break
        seen += block
        if not block:
            break
    os.close(leader)
    assert seen.decode().split() == ["True"]


@pytest.mark.parametrize("there", [True, False])
def test_commands_filter_where_a_gpu_may_be(there, monkeypatch, tmp_path, capsys):
    device = tmp_path / "device"
    if there:
        device.touch()
    calls = []
    monkeypatch.setattr(chatter, "GPU_DEVICES", (str(device),))
    monkeypatch.setattr(command_line, "drop_chatter", lambda: calls.append(True))
    main(["inspect", "--config", "configs/stride2.py:quick"])
    capsys.readouterr()
    assert len(calls) == there
