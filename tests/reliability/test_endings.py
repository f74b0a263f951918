"""Every command, ended in every way from outside, at a moment while it loads and at a random one while it works."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest
from commands.endings import CASES, Terminal, check_quiet, fill, make_run

SECONDS_TO_END = 60
WAYS = {
    "ctrl-c": 128 + signal.SIGINT,
    "ctrl-c twice": 128 + signal.SIGINT,
    "sigterm": 128 + signal.SIGTERM,
    "closed terminal": 128 + signal.SIGHUP,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("endings") / "run")


def stop(terminal: Terminal, way: str) -> None:
    if way == "sigterm":
        terminal.process.terminate()
    elif way == "closed terminal":
        terminal.hang_up()
    else:
        terminal.press_ctrl_c()
        if way == "ctrl-c twice":
            time.sleep(0.05)
            terminal.press_ctrl_c()


@pytest.mark.trials("endings", 0, 3)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_stopped(name, way, trial, run, tmp_path):
    terminal = Terminal(fill(CASES[name].words, run, tmp_path / "out"), tmp_path / "temporary")
    at_work = CASES[name].at_work if trial else ""
    terminal.wait_for(at_work or CASES[name].first)
    time.sleep(np.random.default_rng([trial, *map(ord, name + way)]).uniform(0, 2 if at_work else 0.5))
    over_before = terminal.process.poll() is not None
    stop(terminal, way)
    status = terminal.end(SECONDS_TO_END)
    allowed = (0,) if over_before else (WAYS[way], 0) if not CASES[name].at_work else (WAYS[way],)
    if "PyTorch is not installed" in terminal.shown:  # with which "bench all" ends
        allowed += (2,)
    assert status in allowed, terminal.shown
    check_quiet(terminal.shown)
    if way != "ctrl-c twice":
        assert list(terminal.temporary.iterdir()) == []
