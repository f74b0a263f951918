"""An operator that a user's config file defines: trained, swept and measured, and never run without being asked."""

import subprocess
import sys
from pathlib import Path

import pytest

from strideflax.training import RunFolderError, restore_run

ROOT = Path(__file__).parents[2]
MINE = """
from configs.baseline import baseline
from strideflax.operators.pool import MaxPool
from strideflax.operators.table import DOWNSAMPLERS, Operator

class Mine(MaxPool):
    pass

DOWNSAMPLERS["mine"] = Operator(Mine)

def get_config(arg=None):
    config = baseline("quick")
    config.model.update({"downsample": "mine", "widths": (4, 8), "blocks": (1, 1), "strides": (1, 2)})
    config.model.stem.kernel = 3
    config.data.update({"train_count": 64, "val_count": 20, "test_count": 30})
    config.update({"batch_size": 32, "epochs": 1.0})
    return config

def sweep(arg=None):
    yield {"seed": 0}
"""


def strideflax(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "strideflax", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> tuple[Path, Path]:
    """Return the config file and the folder of the one run of its sweep, trained in a worker's process."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(MINE)
    done = strideflax("sweep", "--config", folder / "mine.py", "--out", folder / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (path for path in (folder / "out").iterdir() if path.is_dir())
    return folder / "mine.py", run


def test_train_resumes_what_the_sweep_has_trained(swept):
    mine, run = swept
    done = strideflax("train", "--config", mine, "--workdir", run)
    assert (done.returncode, done.stderr) == (0, "")
    assert "already finished" in done.stdout


def test_evaluate_runs_the_config_file_that_it_is_given(swept):
    mine, run = swept
    done = strideflax("evaluate", run, "--measures", "calibration", "--config", mine)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_it_the_answer_names_the_file_and_does_not_run_it(swept):
    mine, run = swept
    done = strideflax("evaluate", run, "--measures", "calibration")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "unknown downsampling operator 'mine'" in done.stderr
    assert f"its config file was {mine}" in done.stderr
    with pytest.raises(RunFolderError, match="give it with --config"):
        restore_run(run)


def test_restore_run_takes_it_too(swept):
    from strideflax.operators.table import DOWNSAMPLERS

    mine, run = swept
    try:
        assert restore_run(run, config_file=str(mine)).config.model.downsample == "mine"
    finally:
        DOWNSAMPLERS.pop("mine", None)
