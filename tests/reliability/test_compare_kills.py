"""A study that is killed and started again ends with the verdict of one that nothing disturbed."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from reliability.runs import CONFIG, Machine, assert_whole, finish

from strideflax.config_file import read_config
from strideflax.sweep import engines
from strideflax.verdict.clock import Clock
from strideflax.verdict.conduct import Progress, run_pairs
from strideflax.verdict.images import read_images
from strideflax.verdict.runner import Runner
from strideflax.verdict.sentences import sentence
from strideflax.verdict.study import Study

OPERATORS = ("strided_conv", "max_pool")
SETTINGS = [*CONFIG, "--config.epochs=2", "--config.data.val_count=0"]


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Machine:
    return Machine(tmp_path_factory.mktemp("compiled"))


@pytest.fixture(scope="module")
def reference(machine, tmp_path_factory) -> list[str]:
    """What a study says that nothing disturbed."""
    config = read_config(SETTINGS[1], SETTINGS[2:])
    study = Study(config, OPERATORS, tmp_path_factory.mktemp("reference"), read_images(config.data))
    progress = Progress(lambda runs, in_hand: None, lambda: None)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in machine.environment.items():
            patch.setenv(name, value)
        assert run_pairs(study, Runner(engines.local, 1, SETTINGS[1]), Clock(study.folder, 600), 10.0, progress)
    return [sentence(verdict, study.images) for verdict in study.verdicts()]


def compare(machine: Machine, out: Path):
    words = ("compare", *SETTINGS, "--operators", ",".join(OPERATORS), "--minutes", "10", "--out", out)
    return machine.start(*words, start_new_session=True)


@pytest.mark.trials("compare kills", 0, 6)
def test_a_killed_study_ends_with_the_same_verdict(trial, machine, reference, tmp_path):
    out = tmp_path / "out"
    process = compare(machine, out)
    while process.poll() is None and not list(out.glob("runs/*/config.json")):
        time.sleep(0.01)
    time.sleep(np.random.default_rng(trial).uniform(0, 5))
    if trial % 3 == 2:
        os.killpg(process.pid, signal.SIGINT)
    elif trial % 3:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()  # alone: its workers notice
    process.communicate()
    assert_whole(out)
    output = finish(compare(machine, out))
    for line in reference:
        assert line in output
    assert (out / "report.html").exists()
    assert (out / "verdict.png").exists()
    if trial:
        assert reference[0] in finish(compare(machine, out)), "asked once more"
