import gzip
import importlib
import json
import math
import subprocess
import sys

import pandas as pd
import pytest

from strideflax import results
from strideflax.analysis.run_table import OUTCOMES
from strideflax.errors import UserError


@pytest.fixture
def frame(study_folder):
    return results.load(study_folder).set_index("run", drop=False)


def test_every_run_has_one_row_and_says_where_it_stands(frame):
    assert frame["status"].value_counts().to_dict() == {"finished": 23, "failed": 1, "unfinished": 1, "unreadable": 1}
    assert frame.index.is_unique


def test_a_finished_runs_row_holds_config_result_data_set_and_measures(frame):
    row = frame.loc["max_pool-4-1"]
    assert row[["model.downsample", "augment.crop", "optimizer.learning_rate", "seed"]].tolist() == [
        "max_pool",
        4,
        0.2,
        1,
    ]
    assert row[["model.widths", "model.strides"]].tolist() == [(16, 32), (1, (2, 1))]
    assert row["test_accuracy"] == pytest.approx(0.886 + 0.004 + 0.028)
    assert row[["macs", "params", "train_seconds", "compile_seconds"]].tolist() == [62e6, 1000, 60, 2.5]
    assert row[["dataset_name", "dataset_fingerprint"]].tolist() == ["CIFAR-10 (JPEG re-encoded)", "0123456789ab"]
    assert row[["device", "versions.jax"]].tolist() == ["cpu, 2 cores", "0.10.2"]
    assert row["shift_consistency.reflect.consistency.4"] == pytest.approx(0.871)
    assert row["cost.device"] == "a small cpu"


def test_of_a_measure_only_numbers_and_the_device_are_columns(frame):
    assert not {"shift_consistency.protocol", "shift_consistency.reflect"} & set(frame)


def test_the_leading_columns_come_first_whatever_is_missing(frame):
    assert tuple(frame.columns[: len(results.LEADING)]) == results.LEADING


def test_counts_are_whole_numbers_although_some_runs_have_none(frame):
    assert frame[["params", "macs"]].isna().any().all()
    assert str(frame.loc["max_pool-4-1", "params"]) == "1000"


def test_a_failed_run_has_no_accuracy_although_its_file_names_one(frame, study_folder):
    assert json.loads((study_folder / "avg_pool-4-2/result.json").read_text())["test_accuracy"] > 0
    row = frame.loc["avg_pool-4-2"]
    assert row["error"] == "out of memory <b>here</b>"
    assert row[list(OUTCOMES)].isna().all()


def test_a_killed_run_has_its_config_and_no_numbers(frame):
    row = frame.loc["killed"]
    assert row[["model.downsample", "seed"]].tolist() == ["max_pool", 3]
    assert math.isnan(row["test_accuracy"])


def test_a_file_that_is_not_ours_says_which(frame):
    assert "foreign/result.json has no status" in frame.loc["foreign", "error"]


@pytest.mark.parametrize(
    ("name", "text"), [("result.json", '{"status": "fini'), ("result.json", "[]"), ("config.json", "{}")]
)
def test_a_half_written_or_foreign_file_is_unreadable_and_no_crash(tmp_path, name, text):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text(text)
    frame = results.load(tmp_path)
    assert frame["status"].tolist() == ["unreadable"]
    assert name in frame["error"][0]


def test_a_broken_measure_leaves_the_run_finished_and_is_told(tmp_path, study_folder):
    run = tmp_path / "run"
    (run / "measures").mkdir(parents=True)
    (run / "result.json").write_text((study_folder / "max_pool-0-0/result.json").read_text())
    (run / "measures/cost.json").write_text("{")
    row = results.load(tmp_path).iloc[0]
    assert row["status"] == "finished"
    assert "measures/cost.json" in row["error"]


def test_a_run_folder_itself_is_one_row(study_folder):
    assert results.load(study_folder / "blur_pool-0-0")["run"].tolist() == ["blur_pool-0-0"]


def test_nothing_inside_a_run_is_another_run(tmp_path, study_folder):
    run = tmp_path / "run"
    (run / "checkpoints/1").mkdir(parents=True)
    for file in (run / "config.json", run / "checkpoints/1/config.json"):
        file.write_text((study_folder / "killed/config.json").read_text())
    assert results.load(tmp_path)["run"].tolist() == ["run"]


@pytest.mark.parametrize("name", ["results.jsonl", "results.jsonl.gz"])
def test_saved_rows_load_unchanged(study_folder, tmp_path, name):
    frame = results.load(study_folder)
    results.save(frame, tmp_path / name)
    pd.testing.assert_frame_equal(results.load(tmp_path / name), frame)


def test_the_same_rows_make_the_same_bytes_of_valid_json(study_folder, tmp_path):
    frame = results.load(study_folder)
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        results.save(frame, tmp_path / name)
    content = (tmp_path / "a.jsonl.gz").read_bytes()
    assert content == (tmp_path / "b.jsonl.gz").read_bytes()
    assert content[4:8] == bytes(4)  # gzip's time stamp
    assert "NaN" not in gzip.decompress(content).decode()


def test_save_refuses_another_format(study_folder, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.jsonl or \.jsonl\.gz, got 'results\.csv'"):
        results.save(results.load(study_folder), tmp_path / "results.csv")


def test_curves_have_a_row_an_epoch(study_folder):
    curves = results.curves(study_folder)
    assert len(curves) == 24 * 3
    run = curves[curves["run"] == "max_pool-0-0"]
    assert run["epoch"].tolist() == [1, 2, 3]
    assert run["train_loss"].tolist() == [2, 1, 2 / 3]


def test_a_line_torn_by_a_kill_is_passed_over(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "step": 5}\n{"epoch": 2, "st')
    assert results.curves(tmp_path)["epoch"].tolist() == [1]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("missing", None, "no such file or folder"),
        ("empty", "", "holds no runs"),
        ("some.csv", "a,b", "is not a results file"),
        ("other.jsonl", '{"a": 1}', "expected a run and a status in each row"),
        ("broken.jsonl.gz", "not gzip", "is not a results file"),
    ],
)
def test_what_holds_no_runs_is_the_users_mistake_in_one_line(tmp_path, name, text, message):
    if text:
        (tmp_path / name).write_text(text)
    elif text is not None:
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=message) as error:
        results.load(tmp_path / name)
    assert "\n" not in str(error.value)


def test_curves_of_a_file_are_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match="learning curves are read from a folder"):
        results.curves(tmp_path / "results.jsonl")


def test_the_package_does_not_import_pandas_before_it_is_asked_for_a_table():
    script = (
        "import sys, strideflax; early = 'pandas' in sys.modules; import strideflax.results as r; print(early, r.load)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False <function load")


@pytest.mark.parametrize("name", ["results", "statistics", "claims"])
def test_the_public_modules_offer_what_they_say(name):
    module = importlib.import_module(f"strideflax.{name}")
    assert all(callable(getattr(module, entry)) or entry.isupper() for entry in module.__all__)
    assert module.__all__ == sorted(module.__all__, key=lambda entry: (not entry.isupper(), entry))


@pytest.mark.parametrize(
    ("name", "images", "operators"),
    [("ablation_shapes", "shapes", 8), ("ablation_cifar10", "CIFAR-10 (JPEG re-encoded)", 8)],
)
def test_the_studies_that_come_along_have_their_pairs(name, images, operators):
    runs = results.shipped(name)
    seeds = runs.groupby(["model.downsample", "augment.crop"])["seed"].apply(set)
    assert (seeds.groupby("model.downsample").agg(lambda cells: list(cells) == [set(range(5))] * 2)).sum() == operators
    assert set(runs["status"]) == {"finished"}
    assert not runs.duplicated(["model.downsample", "augment.crop", "seed"]).any()
    assert runs["shift_consistency.reflect.consistency.4"].between(0.5, 1).all()
    assert set(runs["dataset_name"]) == {images}


def test_a_study_that_does_not_come_along_is_answered_with_those_that_do():
    with pytest.raises(UserError, match="no study 'imagenet' comes with strideflax; there are: ablation_cifar10, abla"):
        results.shipped("imagenet")
