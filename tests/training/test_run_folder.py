import json
import os
import subprocess
from pathlib import Path

import pytest

from strideflax.training.run_folder import (
    RunFolderError,
    append_metrics,
    finite,
    keep_metrics,
    read_json,
    read_metrics,
    write_json,
)


def test_nan_becomes_null(tmp_path):
    write_json(tmp_path / "a.json", {"loss": float("nan"), "deep": [1.0, {"x": float("inf")}]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"loss": None, "deep": [1.0, {"x": None}]}
    assert finite((1.0, float("-inf"))) == [1.0, None]


def test_a_value_that_json_does_not_have_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"new": object()})
    assert read_json(tmp_path / "a.json") == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.fixture
def full_disk(tmp_path) -> Path:
    """Return a folder on a real disk of 64 kB that is almost full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True)
    if mount.returncode:
        pytest.skip("a small disk can't be mounted here: that takes root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_keeps_the_old_file_and_leaves_no_half_written_one(full_disk):
    write_json(full_disk / "result.json", {"old": 1})
    with pytest.raises(OSError, match="No space left"):
        write_json(full_disk / "result.json", {"new": "x" * 200_000})
    assert read_json(full_disk / "result.json") == {"old": 1}
    assert os.listdir(full_disk) == ["result.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "has no result.json"), ('{"half": ', "can't be read as JSON"), ("[1]", "must hold a JSON object")],
)
def test_what_is_not_a_result_is_said_in_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(RunFolderError, match=message) as error:
        read_json(tmp_path / "result.json")
    assert "\n" not in str(error.value)


def test_metrics_survive_a_line_cut_short_and_forget_what_will_be_done_again(tmp_path):
    for epoch in (1, 2, 3):
        append_metrics(tmp_path, {"epoch": epoch, "step": 10 * epoch})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "st')
    assert [record["epoch"] for record in read_metrics(tmp_path)] == [1, 2, 3]
    keep_metrics(tmp_path, steps=20)
    assert [record["epoch"] for record in read_metrics(tmp_path)] == [1, 2]
