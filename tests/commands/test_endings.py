"""Every command, ended in every way. What takes long is in tests/reliability/test_endings.py, with ``--long``."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands.endings import CASES, CLOSED_PIPE, LOADING, ROOT, STOPPING, Terminal, check_quiet, fill, make_run

from strideflax.__main__ import main
from strideflax.commands import command_line, endings

SECONDS_TO_END = 20


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("endings") / "run")


def started(name: str, run: Path, folder: Path) -> Terminal:
    return Terminal(fill(CASES[name].words, run, folder / "out"), folder / "temporary")


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)


def test_the_table_has_every_command():
    known = set()
    for name, command in command_line.COMMANDS.items():
        parts = getattr(command, "COMMANDS", None)
        known |= {name} if parts is None else {f"{name} {part}" for part in parts}
    assert set(CASES) == known


def test_what_a_failed_save_leaves_behind_is_no_second_line():
    """Orbax's coroutines that never got to write: Python warns of each as it ends."""
    script = (
        "from strideflax.commands.endings import answer\n"
        "async def write(): pass\n"
        "left = write()\n"
        "def run(): raise OSError(28, 'No space left on device', 'checkpoints/12')\n"
        "answer(run)"
    )
    ended = run_script(script)
    assert (ended.returncode, ended.stderr) == (2, "error: No space left on device: checkpoints/12\n")


@pytest.mark.parametrize(("answered", "said"), [(False, f"\n{STOPPING}\n"), (True, "")])
def test_nothing_is_said_to_be_stopping_once_it_has_been_interrupted(answered, said, capfd, monkeypatch):
    monkeypatch.setattr(endings._Stop, "answered", answered)
    heard, told = socket.socketpair()
    told.send(bytes([signal.SIGINT]))
    told.close()
    with heard:
        endings._watch(heard)
    assert capfd.readouterr().err == said


@pytest.mark.parametrize("name", CASES)
def test_a_mistake(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stop:
        main(fill(CASES[name].mistake, tmp_path / "run", tmp_path / "out"))
    said = capsys.readouterr()
    assert stop.value.code == 2
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [name for name in CASES if name != "new"])  # which loads nothing
def test_ctrl_c_while_jax_is_loaded(name, tmp_path, run):
    """Ctrl-C is answered, the command ends with 130 and leaves nothing."""
    terminal = started(name, run, tmp_path)
    starts_others = name in ("bench all", "bench gpu")  # it loads nothing itself
    terminal.wait_for(CASES[name].at_work if starts_others else LOADING, 10)
    time.sleep(0.1)
    terminal.press_ctrl_c()
    assert terminal.end(SECONDS_TO_END) == 128 + signal.SIGINT
    check_quiet(terminal.shown)
    assert terminal.shown.rstrip().endswith("interrupted")
    assert list(terminal.temporary.iterdir()) == []
    assert (tmp_path / "out").exists() == starts_others


@pytest.mark.parametrize("name", ["train", "sweep", "bench against"])
def test_a_terminal_that_is_closed_while_jax_is_loaded(name, tmp_path, run):
    terminal = started(name, run, tmp_path)
    terminal.wait_for(LOADING, 10)
    terminal.hang_up()
    assert terminal.end(SECONDS_TO_END) == 128 + signal.SIGHUP
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["evaluate", "sweep", "bench against"])
def test_sigterm_at_work(name, tmp_path, run):
    terminal = started(name, run, tmp_path)
    terminal.wait_for(CASES[name].at_work)
    terminal.process.terminate()
    assert terminal.end(SECONDS_TO_END) == 128 + signal.SIGTERM, terminal.shown
    check_quiet(terminal.shown)
    assert list(terminal.temporary.iterdir()) == []


def test_ctrl_c_saves_and_a_closed_terminal_saves_and_the_run_goes_on(tmp_path, run):
    terminal = started("train", run, tmp_path)
    terminal.wait_for(CASES["train"].at_work)
    terminal.press_ctrl_c()
    assert terminal.end(SECONDS_TO_END) == 128 + signal.SIGINT
    assert STOPPING in terminal.shown
    assert "the same command goes on from there" in " ".join(terminal.shown.split())
    again = Terminal(terminal.words, tmp_path / "again")
    again.wait_for("resumed at step")
    again.wait_for(CASES["train"].at_work)
    again.hang_up()
    assert again.end(SECONDS_TO_END) == 128 + signal.SIGHUP
    newest = max(int(path.name) for path in (tmp_path / "out/checkpoints").iterdir() if path.name.isdigit())
    assert f"resumed at step {newest} " not in again.shown, "the closed terminal saved nothing"


def test_a_second_ctrl_c_ends_it_at_once(tmp_path, run):
    terminal = started("evaluate", run, tmp_path)
    terminal.wait_for(CASES["evaluate"].at_work)
    os.kill(terminal.process.pid, signal.SIGSTOP)  # so that both come while it can't end by the first
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        os.kill(terminal.process.pid, number)
    assert terminal.end(5) in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    check_quiet(terminal.shown)


@pytest.mark.parametrize("name", ["train", "inspect", "data"])
def test_a_reader_who_leaves_after_the_first_line(name, tmp_path, run):
    words = fill(CASES[name].words, run, tmp_path / "out")
    done = subprocess.run(
        ["bash", "-c", '"$@" | head -1; echo status ${PIPESTATUS[0]}', "-", sys.executable, "-m", "strideflax", *words],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == ""
    status = int(done.stdout.splitlines()[-1].removeprefix("status "))
    assert status in ((CLOSED_PIPE,) if name == "train" else (CLOSED_PIPE, 0))  # 0: it was done before the reader left


def test_closed_standard_files(tmp_path, run):
    words = fill(CASES["report"].words, run, tmp_path / "out")
    command = ["bash", "-c", '"$@" >&- 2>&- <&-', "-", sys.executable, "-m", "strideflax", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out/report.html").read_text().rstrip().endswith("</html>")


def test_a_full_disk_behind_standard_output(run):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "strideflax", *CASES["inspect"].words, "--json"],
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "error: No space left on device\n")


CAUGHT = """
def work(args):
    for _ in range(3):
        try: print('at work', flush=True); time.sleep(20)
        except BaseException: pass
    time.sleep(20)
"""
IN_A_CALLBACK = """
def collected(phase, info): print('at work', flush=True); time.sleep(20)
def work(args):
    gc.callbacks.append(collected)
    gc.collect()
    gc.callbacks.clear()
    time.sleep(20)
"""


@pytest.mark.parametrize("work", [CAUGHT, IN_A_CALLBACK], ids=["caught", "in a callback"])
def test_a_signal_whose_exception_a_library_drops_is_raised_again(work: str):
    script = (
        f"import gc, sys, time; from strideflax import __main__; from strideflax.commands import inspect\n{work}"
        "inspect.main = work; sys.argv = ['strideflax', 'inspect', '--config', 'x']; __main__.program()"
    )
    working = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert working.stdout is not None
    assert working.stdout.readline() == "at work\n"
    working.send_signal(signal.SIGTERM)
    _, errors = working.communicate(timeout=15)
    assert (working.returncode, errors) == (128 + signal.SIGTERM, "interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_was_ignored_at_the_start_stays_so(number: signal.Signals):
    """As nohup ignores SIGHUP, and a shell SIGINT of what it starts in the background."""
    script = (
        "import signal, sys, time; from strideflax import __main__; from strideflax.commands import inspect\n"
        f"signal.signal({number}, signal.SIG_IGN)\n"
        "def work(args):\n"
        "    from strideflax.process import StopSignal\n"
        "    stop = StopSignal()\n"
        "    for _ in range(300):\n"
        "        print('at work', stop(), flush=True); time.sleep(0.1)\n"
        "        if stop(): sys.exit(128 + stop.number)\n"
        "inspect.main = work; sys.argv = ['strideflax', 'inspect', '--config', 'x']; __main__.program()"
    )
    working = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert working.stdout is not None
    working.stdout.readline()
    working.send_signal(number)
    for _ in range(3):
        assert working.stdout.readline() == "at work False\n"
    working.terminate()
    working.communicate(timeout=15)
    assert working.returncode == 128 + signal.SIGTERM


def test_names_that_standard_output_cannot_hold_are_escaped(monkeypatch):
    for encoding, shown in (("ascii", b"a\\xfc\\udcff"), ("utf-8", b"a\xc3\xbc\\udcff")):
        bytes_out = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_out, encoding))
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        endings.prepare_files()
        print("aü\udcff", end="", flush=True)
        assert bytes_out.getvalue() == shown


def test_two_threads_that_hear_a_signal_say_so_once():
    script = (
        "import os, threading, time; from strideflax.commands import endings\n"
        "def slowly(line): os.write(2, line); time.sleep(0.3)\n"
        "endings._write = slowly\n"
        "for _ in range(2): threading.Thread(target=endings._end_at_once, args=(15,)).start()\n"
    )
    done = run_script(script)
    assert (done.returncode, done.stderr) == (143, "\ninterrupted\n")


def test_an_internal_error_keeps_its_traceback():
    script = (
        "import sys; from strideflax import __main__; from strideflax.commands import inspect\n"
        "def broken(args): raise AssertionError('ours')\n"
        "inspect.main = broken; sys.argv = ['strideflax', 'inspect', '--config', 'x']; __main__.program()"
    )
    done = run_script(script)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("AssertionError: ours\n")
    assert done.stdout == ""
