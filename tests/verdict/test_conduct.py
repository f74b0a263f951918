"""Which pairs are run, and when that ends. An engine that writes results at once stands in for training."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
from verdict.conftest import write_runs

from strideflax.errors import UserError
from strideflax.training.run_folder import read_json
from strideflax.verdict.clock import Clock
from strideflax.verdict.conduct import Progress, run_pairs
from strideflax.verdict.record import check_study_folder, forget_unplanned, read_study, write_study
from strideflax.verdict.runner import Runner
from strideflax.verdict.schedule import Schedule

SILENT = Progress(lambda runs, in_hand: None, lambda: None)


class Engine:
    """Writes results of given accuracies; remembers what was asked for."""

    def __init__(self, study, accuracies):
        self.rounds = []
        self._study, self._accuracies = study, accuracies

    def __call__(self, folders, tick):
        tick(set())
        done = []
        for folder in folders:
            config = read_json(Path(folder) / "config.json")
            operator, pair = config["model"]["downsample"], config["seed"] - self._study.config.seed
            write_runs(self._study, operator, [self._accuracies[operator](pair)], first=pair)
            done.append((operator, pair))
        self.rounds.append(done)


def conduct(study, accuracies, *, seconds=1e6, pair_seconds=100.0) -> tuple[bool, Engine]:
    engine = Engine(study, accuracies)
    clock = Clock(study.folder, seconds)
    return run_pairs(study, Runner(engine, 1, "a file"), clock, pair_seconds, SILENT), engine


def alternating(pair: int) -> float:
    return 0.6 if pair % 2 else 0.4


def test_pairs_are_added_for_whom_they_are_needed(study):
    accuracies = {"strided_conv": lambda pair: 0.5, "blur_pool": lambda pair: 0.7, "max_pool": alternating}
    is_settled, engine = conduct(study, accuracies, pair_seconds=100.0)
    assert is_settled
    assert engine.rounds[0] == [(name, pair) for pair in range(4) for name in study.operators]
    later = [run for runs in engine.rounds[1:] for run in runs]
    assert {operator for operator, _ in later} == {"strided_conv", "max_pool"}
    assert [verdict.standing.outcome for verdict in study.verdicts()] == ["gain", "undecided"]
    assert (study.pairs_run("blur_pool"), study.pairs_run("max_pool")) == (4, 30)


def test_what_is_there_is_not_run_again(study):
    accuracies = {"strided_conv": lambda pair: 0.5, "blur_pool": lambda pair: 0.7, "max_pool": lambda pair: 0.7}
    write_runs(study, "strided_conv", [0.5, 0.5])
    write_runs(study, "blur_pool", [0.7])
    is_settled, engine = conduct(study, accuracies)
    assert is_settled
    assert ("strided_conv", 1) not in engine.rounds[0]
    assert engine.rounds[0][:2] == [("max_pool", 0), ("blur_pool", 1)]
    assert conduct(study, accuracies)[1].rounds == [], "all is settled"


def test_no_pair_is_begun_that_the_time_does_not_hold(study):
    accuracies = dict.fromkeys(study.operators, lambda pair: 0.5)
    is_settled, engine = conduct(study, accuracies, seconds=50, pair_seconds=100.0)
    assert not is_settled
    assert engine.rounds == []
    is_settled, engine = conduct(study, accuracies, seconds=250, pair_seconds=100.0)
    assert len(engine.rounds[0]) == 2 * 3


def test_the_time_that_is_up_ends_a_round(study):
    def never(folders, tick):
        while True:
            tick(set())

    assert not run_pairs(study, Runner(never, 1, "a file"), Clock(study.folder, 0.2), 0.001, SILENT)


def test_the_time_of_each_round_is_written_down(study):
    def slow(folders, tick):
        time.sleep(0.1)
        Engine(study, dict.fromkeys(study.operators, lambda pair: 0.5))(folders, tick)

    assert run_pairs(study, Runner(slow, 1, "a file"), Clock(study.folder, 60), 1.0, SILENT)
    assert Clock(study.folder, 60).spent >= 0.1


def test_failures_end_the_study_too(study):
    accuracies = dict.fromkeys(study.operators, lambda pair: None)
    is_settled, engine = conduct(study, accuracies)
    assert is_settled
    assert len(engine.rounds) == 1


def test_runs_that_another_process_holds_are_waited_for_and_then_refused(study, monkeypatch):
    monkeypatch.setattr("strideflax.verdict.conduct.PATIENCE", 1)
    with pytest.raises(UserError, match="is in use by another process"):
        run_pairs(study, Runner(lambda folders, tick: None, 1, "a file"), Clock(study.folder, 60), 1.0, SILENT)


def test_a_study_is_found_again_and_another_is_refused(study):
    schedule = Schedule(epochs=3.0, steps=93, pairs=8, pair_seconds=20.0)
    write_study(study, study.config, schedule)
    check_study_folder(study.folder)
    assert read_study(study) == (study, schedule)
    other = study.run("max_pool", 2).config
    for change, message in [
        (
            {"operators": ("strided_conv", "aps")},
            "operators is 'strided_conv,blur_pool,max_pool' there, 'strided_conv,aps' here",
        ),
        ({"config": other}, "model.downsample is 'strided_conv' there, 'max_pool' here"),
        (
            {"images": replace(study.images, fingerprint="ba9876543210")},
            "the images' fingerprint is '0123456789ab' there, 'ba9876543210' here",
        ),
    ]:
        asked = type(study)(**{**vars(study), **change})
        with pytest.raises(UserError, match=message):
            read_study(asked)
    (study.folder / "study.json").write_text('{"asked": {}}')
    with pytest.raises(UserError, match="is damaged"):
        read_study(study)


def test_a_study_without_a_plan_leaves_nothing_but_what_others_put_there(study):
    study.folder.mkdir()
    Clock(study.folder, 10).note()
    check_study_folder(study.folder)
    forget_unplanned(study.folder)
    assert not study.folder.exists()
    study.folder.mkdir()
    (study.folder / "mine").touch()
    forget_unplanned(study.folder)
    assert (study.folder / "mine").exists()
