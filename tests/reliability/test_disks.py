"""Disks that are full, stop at a file size or can't be written: one line, and what was there is still good."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from made_runs import write_study
from reliability.runs import CONFIG, GRID, Machine, Reference, finish, outcome, undisturbed

from strideflax.__main__ import main


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Machine:
    return Machine(tmp_path_factory.mktemp("compiled"))


@pytest.fixture(scope="module")
def reference(machine, tmp_path_factory) -> Reference:
    return undisturbed(machine, tmp_path_factory.mktemp("reference"))


class Disk:
    """A real disk in memory."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True)
        if mount.returncode:
            pytest.skip("a disk can't be mounted here: that takes root, or a namespace of `unshare -rm`")

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.folder], check=True)

    def fill(self) -> None:
        state = os.statvfs(self.folder)
        with (self.folder / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_bsize)


@pytest.fixture
def disk(tmp_path) -> Disk:
    disk = Disk(tmp_path / "disk")
    yield disk
    subprocess.run(["umount", disk.folder], check=True)


def assert_one_line(process: subprocess.Popen, reason: str) -> None:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 2, output + errors
    assert reason in errors
    assert (errors[:7], errors.count("\n")) == ("error: ", 1), errors


@pytest.mark.trials("disks", 1, 20)
def test_training_on_a_disk_that_fills_up(trial, machine, reference, disk):
    run = disk.folder / "run"
    disk.remount(f"size={np.random.default_rng(trial).integers(1, 81) * 4}k")
    assert_one_line(machine.train(run), "No space left on device")
    disk.remount("size=16m")
    finish(machine.train(run))
    assert outcome(run) == reference.outcome


@pytest.mark.trials("disks", 1, 12)
def test_training_with_a_limit_on_the_size_of_files(trial, machine, reference, tmp_path):
    largest = max(path.stat().st_size for path in reference.folder.rglob("*") if path.is_file())
    limit = int(np.random.default_rng(trial).integers(largest))
    assert_one_line(machine.train(tmp_path / "run", before=["prlimit", f"--fsize={limit}"]), "File too large")
    finish(machine.train(tmp_path / "run"))
    assert outcome(tmp_path / "run") == reference.outcome


COMMANDS = {
    "train": ["train", "--config", "configs/stride2.py:quick", "--workdir", "{disk}/new"],
    "train on": ["train", *CONFIG, "--workdir", "{disk}/begun"],
    "sweep": ["sweep", "--config", "{disk}/grid.py", "--out", "{disk}/out"],
    "report": ["report", "{disk}/study"],
    "inspect": ["inspect", "--config", "configs/stride2.py:quick", "--plot", "{disk}/plot.png"],
    "evaluate": ["evaluate", "{disk}/run", "--measures", "calibration"],
    "bench": ["bench", "operators", "subsample", "--shape", "1,4,4,2", "--repeats", "1", "--out", "{disk}/b.json"],
}


@pytest.mark.parametrize("state", ["full", "read-only"])
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_that_writes_says_so_and_leaves_what_was_there(
    command, state, reference, disk, capsys, monkeypatch
):
    monkeypatch.chdir(Path(__file__).parents[2])
    (disk.folder / "grid.py").write_text(GRID)
    write_study(disk.folder / "study")
    shutil.copytree(reference.folder, disk.folder / "run")
    shutil.copytree(reference.folder, disk.folder / "begun")
    (disk.folder / "begun" / "result.json").unlink()
    disk.fill() if state == "full" else disk.remount("ro")
    before = contents(disk.folder)
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([word.replace("{disk}", str(disk.folder)) for word in COMMANDS[command]])
    errors = capsys.readouterr().err
    assert stop.value.code == 2
    assert (errors[:7], errors.count("\n")) == ("error: ", 1), errors
    assert ("No space left on device" if state == "full" else "Read-only file system") in errors
    after = contents(disk.folder)
    assert {path: after.get(path) for path in before} == before


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
