"""A sweep killed, stopped or started twice: every run ends once, as if nothing had happened."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from reliability.runs import Machine, assert_whole, finish, outcome


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Machine:
    return Machine(tmp_path_factory.mktemp("compiled"))


@pytest.fixture(scope="module")
def reference(machine, tmp_path_factory) -> tuple[float, dict]:
    out = tmp_path_factory.mktemp("reference") / "out"
    start = time.monotonic()
    finish(machine.sweep(out))
    seconds = time.monotonic() - start
    outcomes = outcomes_of(out)
    assert len(outcomes) == 2
    return seconds, outcomes


def outcomes_of(out: Path) -> dict[str, dict]:
    return {folder.name: outcome(folder) for folder in out.iterdir() if (folder / "config.json").exists()}


def go_on(machine: Machine, out: Path) -> None:
    """Start the sweep again until it finds nothing left; a worker whose sweep was killed may hold a run for a moment."""
    for _ in range(5):
        if "2 finished" in finish(machine.sweep(out)):
            return
        time.sleep(1)
    pytest.fail("runs are left")


@pytest.mark.trials("sweep kills", 1, 8)
def test_a_killed_sweep_goes_on_as_if_nothing_had_happened(trial, machine, reference, tmp_path):
    seconds, expected = reference
    for attempt in range(20):
        out = tmp_path / f"out{attempt}"
        process = machine.sweep(out)
        time.sleep(np.random.default_rng(trial).uniform(0.1, 0.9) * seconds * 0.8**attempt)
        if trial % 2:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()  # alone: its workers notice
        process.communicate()
        if process.returncode != 0:
            break  # else it had ended before, perhaps just then: once more, and earlier
    assert process.returncode == -signal.SIGKILL
    assert_whole(out)
    go_on(machine, out)
    assert outcomes_of(out) == expected


@pytest.mark.trials("stops", 1, 2)
def test_a_stop_ends_all_workers_without_a_traceback(trial, machine, reference, tmp_path):
    _, expected = reference
    process = machine.sweep(tmp_path / "out")
    while not list(tmp_path.glob("out/*/metrics.jsonl")) and process.poll() is None:
        time.sleep(0.01)
    if trial % 2:
        process.terminate()
    else:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=120)
    if trial % 2:
        assert (process.returncode, errors) == (143, "interrupted\n")
    else:
        assert (process.returncode, errors) == (130, "\nstopping; press Ctrl-C again to stop at once\ninterrupted\n")
    go_on(machine, tmp_path / "out")
    assert outcomes_of(tmp_path / "out") == expected


@pytest.mark.trials("checks", 0, 1)
def test_two_sweeps_at_once_share_the_runs(trial, machine, reference, tmp_path):
    both = [machine.sweep(tmp_path / "out") for _ in range(2)]
    for process in both:
        finish(process)
    go_on(machine, tmp_path / "out")
    assert outcomes_of(tmp_path / "out") == reference[1]


@pytest.mark.trials("checks", 0, 1)
def test_two_trainings_at_once_one_gives_way(trial, machine, tmp_path):
    both = [machine.train(tmp_path / "run") for _ in range(2)]
    answers = [(*process.communicate(), process.returncode) for process in both]
    assert sum(code == 0 for *_, code in answers) >= 1, answers
    for output, errors, code in answers:
        if code:
            assert (code, errors.count("\n")) == (2, 1)
            assert "in use by another process" in errors
        else:
            assert "test accuracy" in output
    finish(machine.train(tmp_path / "alone"))
    assert outcome(tmp_path / "run") == outcome(tmp_path / "alone")
