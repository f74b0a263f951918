"""Runs in a file and back: the table, the report's source and a sweep see the same runs."""

import json
import shutil

import pandas as pd
import pytest

from strideflax import results
from strideflax.analysis.run_archive import Imported, export_runs, import_runs
from strideflax.analysis.run_table import SHIPPED
from strideflax.errors import UserError
from strideflax.training.run_folder import read_run_config

# pandas holds them as floats, and true and false as objects, while any run of the table lacks them.
WHOLE = ("seed", "steps", "batch_size", "model.window", "augment.crop")
WHOLE += ("dataset_train_count", "dataset_val_count", "dataset_test_count")


def in_one_order(frame: pd.DataFrame) -> pd.DataFrame:
    known = frame.dropna(axis="columns", how="all").infer_objects()
    known = known.astype({name: "Int64" for name in WHOLE if name in known})
    return known.sort_values("run").reset_index(drop=True)[sorted(known.columns)]


@pytest.mark.parametrize("study", ["ablation_shapes", "equal_cost_cifar10"])
def test_a_shipped_study_comes_back_as_folders_with_the_same_table(study, tmp_path):
    whole = results.shipped(study)
    found = import_runs(SHIPPED / f"{study}.jsonl.gz", tmp_path)
    assert found == Imported(written=len(whole), present=0, unreadable=0)
    again = in_one_order(results.load(tmp_path))
    pd.testing.assert_frame_equal(again, in_one_order(whole))
    for run in whole["run"]:
        assert read_run_config(tmp_path / run).fingerprint == run, "a sweep finds the run by its fingerprint"


def test_every_readable_run_goes_into_a_file_and_back(study_folder, tmp_path):
    runs, file, back = tmp_path / "runs", tmp_path / "sub" / "study.jsonl.gz", tmp_path / "back"
    shutil.copytree(study_folder, runs)
    config = next(runs.glob("*/config.json"))
    (runs / "begun").mkdir()
    shutil.copy(config, runs / "begun")
    (runs / "broken").mkdir()
    (runs / "broken" / "result.json").write_text("{")
    before = results.load(runs)
    readable = before[before["status"] != "unreadable"]
    assert export_runs(runs, file) == len(before)
    assert import_runs(file, back) == Imported(len(readable), 0, len(before) - len(readable))
    pd.testing.assert_frame_equal(in_one_order(results.load(back)), in_one_order(readable))
    assert not (back / "begun" / "result.json").exists()


def test_what_is_there_is_left_as_it_is(tmp_path):
    file = SHIPPED / "equal_cost_cifar10.jsonl.gz"
    import_runs(file, tmp_path)
    result = next(tmp_path.glob("*/result.json"))
    result.write_text(json.dumps({"status": "failed"}))
    assert import_runs(file, tmp_path).present == 15
    assert json.loads(result.read_text()) == {"status": "failed"}


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/../../b", "", "a\\..\\b"])
def test_a_file_from_a_stranger_leads_nowhere_else(name, tmp_path):
    (tmp_path / "file.jsonl").write_text(json.dumps({"run": name, "status": "finished"}) + "\n")
    with pytest.raises(UserError, match="no folder below"):
        import_runs(tmp_path / "file.jsonl", tmp_path / "runs")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.jsonl"]


def test_a_file_of_another_name_is_refused_before_it_is_written(study_folder, tmp_path):
    with pytest.raises(UserError, match=r"ends in .jsonl or .jsonl.gz, got .*table.csv"):
        export_runs(study_folder, tmp_path / "table.csv")
    assert not (tmp_path / "table.csv").exists()
