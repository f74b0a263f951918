import json
import os
import subprocess
from pathlib import Path

import pytest

from strideflax.files import null_if_not_finite, write_json, write_whole


def test_nan_becomes_null(tmp_path):
    write_json(tmp_path / "a.json", {"loss": float("nan"), "deep": [1.0, {"x": float("inf")}]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"loss": None, "deep": [1.0, {"x": None}]}
    assert null_if_not_finite((1.0, float("-inf"))) == [1.0, None]


def test_a_value_that_json_does_not_have_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"new": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.fixture
def full_disk(tmp_path) -> Path:
    """Return a folder on a real disk of 64 kB that is almost full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True)
    if mount.returncode:
        pytest.skip("a small disk can't be mounted here: that takes root, or a namespace of `unshare -rm`")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_keeps_the_old_file_and_leaves_no_half_written_one(full_disk):
    write_json(full_disk / "result.json", {"old": 1})
    with pytest.raises(OSError, match="No space left"):
        write_json(full_disk / "result.json", {"new": "x" * 200_000})
    assert json.loads((full_disk / "result.json").read_text()) == {"old": 1}
    assert os.listdir(full_disk) == ["result.json"]


def test_parts_are_written_one_after_another_and_nothing_else_is_left(tmp_path):
    write_whole(tmp_path / "new" / "a.bin", b"one", memoryview(b"two"))
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"onetwo"
    assert os.listdir(tmp_path / "new") == ["a.bin"]


def test_an_error_names_the_file(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match=r"a\.json") as error:
        write_json(tmp_path / "file" / "a.json", {})
    assert error.value.filename == str(tmp_path / "file" / "a.json")
