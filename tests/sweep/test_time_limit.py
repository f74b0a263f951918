"""A sweep whose time is short: it ends by a real clock, saved where it listens and killed where it does not."""

import math
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from small_grid import GRID, plan

from strideflax.__main__ import main
from strideflax.sweep import engines
from strideflax.sweep.plan import STARTED, WAITING
from strideflax.sweep.time_limit import TimeLimit
from strideflax.training.run_folder import read_metrics

LATE_SECONDS = 2.0  # that a loaded machine may take to end a process


@pytest.fixture
def runs(tmp_path):
    return plan(tmp_path, GRID.replace("epochs = 6.0", "epochs, config.checkpoint_epochs = 6000.0, 6000"))


def is_saved(folder: Path) -> bool:
    return any((folder / "checkpoints").glob("*.sha256.json"))


def test_when_the_time_is_up_one_worker_saves_and_a_deaf_one_is_killed(runs):
    limit = TimeLimit()
    deaf, listening, _ = runs

    def tick(in_hand):
        if limit.end == math.inf and all(read_metrics(run.folder) for run in (deaf, listening)):
            process = min(multiprocessing.active_children(), key=lambda process: process.pid)  # the first one's
            os.kill(process.pid, signal.SIGSTOP)  # as deaf as one that compiles
            assert not is_saved(listening.folder)
            limit.stop_at, limit.end = time.time() + 0.1, time.time() + 2.1

    engines.local([run.folder for run in runs], tick, workers=2, limit=limit)
    assert 0 < time.time() - limit.end < LATE_SECONDS, "killed at the end, not before and not much after"
    assert multiprocessing.active_children() == []
    assert [run.status for run in runs] == [STARTED, STARTED, WAITING], "none of it is a run's fault"
    assert is_saved(listening.folder)
    assert not is_saved(deaf.folder)


def test_the_command_says_what_is_left_and_its_exit_status_too(tmp_path, capsys):
    (tmp_path / "grid.py").write_text(GRID)
    start = time.monotonic()
    with pytest.raises(SystemExit) as stop:
        main(["sweep", "--config", str(tmp_path / "grid.py"), "--out", str(tmp_path / "out"), "--minutes", "0.001"])
    assert time.monotonic() - start < 5 * LATE_SECONDS
    assert stop.value.code == 75
    said = " ".join(capsys.readouterr().out.split())
    assert "The time is up: 3 runs are left, about " in said
    assert said.endswith("the same command goes on.")


@pytest.mark.parametrize(("seconds", "stop_after"), [(720, 705), (20, 15), (math.inf, math.inf)])
def test_it_begins_to_stop_before_its_end(seconds, stop_after):
    limit = TimeLimit(seconds)
    assert limit.stop_at - time.time() == pytest.approx(stop_after, abs=1)
    assert not limit.is_stopping
    assert not limit.is_over
