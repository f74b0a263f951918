"""Killed or stopped at any moment, a run goes on and ends with the same bits, the same metrics and the same result."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from reliability.runs import Machine, Reference, assert_whole, finish, outcome, undisturbed

from strideflax.process import StoppedAtOnce, StopSignal


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Machine:
    return Machine(tmp_path_factory.mktemp("compiled"))


@pytest.fixture(scope="module")
def reference(machine, tmp_path_factory) -> Reference:
    reference = undisturbed(machine, tmp_path_factory.mktemp("reference"))
    assert [record["epoch"] for record in reference.outcome["metrics"]] == list(range(1, 13))
    return reference


def wait_for(condition, process) -> None:
    deadline = time.monotonic() + 300
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def saves(folder: Path) -> set[str]:
    """Return the checkpoints, done or being written."""
    try:
        return {path.name.split(".")[0] for path in (folder / "checkpoints").iterdir()}
    except FileNotFoundError:
        return set()


def disturb(process, folder: Path, number: int, trial: int, seconds: float) -> bool:
    """Send a signal at a moment that ``trial`` chooses; return whether the process was still there."""
    random = np.random.default_rng(trial)
    if trial % 3 == 0:  # within a save
        count = random.integers(1, 11)
        seen: set[str] = set()
        wait_for(lambda: len(seen.update(saves(folder)) or seen) >= count, process)
        time.sleep(random.uniform(0, 0.1))
    elif trial % 3 == 1:  # between the first save and the end
        wait_for(lambda: saves(folder), process)
        time.sleep(random.uniform(0, 0.2 * seconds))
    else:  # whenever
        time.sleep(random.uniform(0, 0.95 * seconds))
    there = process.poll() is None
    process.send_signal(number)
    return there


@pytest.mark.trials("kills", 2, 54)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(trial, machine, reference, tmp_path):
    for attempt in range(20):  # until a kill was in time
        folder = tmp_path / f"run{attempt}"
        process = machine.train(folder)
        seconds = reference.seconds * 0.7**attempt
        if disturb(process, folder, signal.SIGKILL, trial, seconds) and process.wait() == -signal.SIGKILL:
            break
        process.communicate()
    else:
        pytest.fail("no kill was in time")
    process.communicate()
    assert_whole(folder)
    finish(machine.train(folder))
    assert outcome(folder) == reference.outcome


@pytest.mark.trials("stops", 1, 12)
def test_asked_to_stop_it_saves_answers_in_a_line_and_goes_on(trial, machine, reference, tmp_path):
    number = (signal.SIGINT, signal.SIGTERM)[trial % 2]
    process = machine.train(tmp_path / "run")
    disturb(process, tmp_path / "run", number, trial, reference.seconds)
    output, errors = process.communicate()
    assert "Traceback" not in output + errors
    if process.returncode == -number:  # while it imports modules, or after its work is done
        assert errors == ""
        assert output == "" or "result.json" in output
    elif process.returncode:
        assert process.returncode == 128 + number
        said = [line for line in errors.splitlines() if line and not line.startswith("stopping; press Ctrl-C again")]
        assert "stopped at step" in output or said == ["interrupted"]
        assert len(said) <= 1
    finish(machine.train(tmp_path / "run"))
    assert outcome(tmp_path / "run") == reference.outcome


def test_a_signal_stops_after_the_step_a_second_or_an_early_one_at_once():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        stop = StopSignal()
        with pytest.raises(StoppedAtOnce) as early:
            os.kill(os.getpid(), signal.SIGTERM)
        assert early.value.exit_code == 143
        stop = StopSignal()
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        with pytest.raises(StoppedAtOnce) as second:
            os.kill(os.getpid(), signal.SIGINT)
        assert second.value.exit_code == 130
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
