"""Planning a sweep: which runs, where, how far, how long."""

from pathlib import Path

import filelock
import pytest

from strideflax.config import ConfigError
from strideflax.files import write_json
from strideflax.sweep.plan import SweepError, plan_sweep, write_plan
from strideflax.training.run_folder import read_json


def test_a_run_a_line_each_in_a_folder_named_by_its_fingerprint(grid, tmp_path):
    runs = plan_sweep(grid, tmp_path / "out")
    assert [run.title for run in runs] == [
        "downsample=strided_conv seed=0",
        "downsample=max_pool seed=0",
        "downsample=strided_conv seed=1",
        "downsample=max_pool seed=1",
    ]
    assert [run.folder for run in runs] == [tmp_path / "out" / run.config.fingerprint for run in runs]
    assert not (tmp_path / "out").exists(), "planning writes nothing"


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (["seed=1"], 2),
        (["downsample=max_pool"], 2),
        (["model.downsample=max_pool", "seed=0"], 1),
    ],
)
def test_filters_keep_what_matches_all(grid, tmp_path, wanted, count):
    assert len(plan_sweep(grid, tmp_path, wanted=wanted)) == count


@pytest.mark.parametrize("text", ["0.2", "0.20", "2e-1"])
def test_a_filter_finds_a_number_however_it_is_written(grid, tmp_path, text):
    rates = Path(grid).read_text().replace('"seed": seed', '"optimizer.learning_rate": 0.1 * (1 + seed)')
    (tmp_path / "rates.py").write_text(rates)
    runs = plan_sweep(str(tmp_path / "rates.py"), tmp_path, wanted=[f"learning_rate={text}"])
    assert [run.config.optimizer.learning_rate for run in runs] == [0.2, 0.2]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [(["seed"], "--filter must be FIELD=VALUE, got 'seed'"), (["seed=7"], "no run matches seed=7")],
)
def test_a_filter_that_says_nothing_is_refused(grid, tmp_path, wanted, message):
    with pytest.raises(SweepError, match=message):
        plan_sweep(grid, tmp_path, wanted=wanted)


def test_two_runs_with_one_configuration_are_refused(grid, tmp_path):
    (tmp_path / "twice.py").write_text(Path(grid).read_text().replace('"seed": seed', '"checkpoint_epochs": seed + 1'))
    with pytest.raises(SweepError, match="yields 2 runs twice"):
        plan_sweep(str(tmp_path / "twice.py"), tmp_path)


def test_a_config_without_sweep_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="defines no sweep"):
        plan_sweep("configs/stride2.py", tmp_path)


def test_the_status_is_what_the_folder_tells(grid, tmp_path):
    finished, failed, started, held = plan_sweep(grid, tmp_path / "out")
    write_plan([finished, failed, started, held])
    assert {run.status for run in (finished, failed, started, held)} == {"waiting"}
    write_json(finished.folder / "result.json", {"status": "finished"})
    write_json(failed.folder / "result.json", {"status": "failed"})
    (started.folder / "metrics.jsonl").write_text('{"epoch": 1, "step": 31}\n')
    with filelock.FileLock(held.folder / ".lock"):
        assert [run.status for run in (finished, failed, started, held)] == ["finished", "failed", "started", "running"]
    assert held.status == "waiting", "a lock that nobody holds any more means nothing"
    assert started.share_done == pytest.approx(1 / started.config.epochs)


def test_the_plan_writes_each_runs_whole_configuration(grid, tmp_path):
    runs = plan_sweep(grid, tmp_path / "out")
    write_plan(runs)
    for run in runs:
        assert read_json(run.folder / "config.json") == run.config.to_dict()


def test_the_shipped_sweeps_are_sound():
    counts = {
        name: len(plan_sweep(f"configs/{name}.py", Path("out")))
        for name in ("ablation", "alignment", "stem", "asymmetric")
    }
    assert counts["ablation"] >= 8 * 2 * 5
    assert counts["alignment"] == 20
    assert counts["stem"] == 30
    assert counts["asymmetric"] >= 15
