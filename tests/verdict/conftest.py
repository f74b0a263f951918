"""A study that stands on disk as if its runs had been trained."""

from dataclasses import replace
from pathlib import Path

import pytest

from strideflax.config_file import read_config
from strideflax.sweep.plan import write_plan
from strideflax.training.result import TrainingResult, write_result
from strideflax.verdict.images import StudyImages
from strideflax.verdict.study import Study

IMAGES = StudyImages(
    name="Fotos",
    is_own=True,
    source="a folder",
    fingerprint="0123456789ab",
    classes=10,
    train_count=1650,
    val_count=0,
    test_count=412,
    chance=0.1,
)
MACS = {"strided_conv": 1000, "blur_pool": 1540, "max_pool": 1000}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Three operators, the strided convolution first, without any run."""
    config = read_config("configs/stride2.py:quick")
    return Study(config, ("strided_conv", "blur_pool", "max_pool"), tmp_path / "study", IMAGES)


def write_runs(study: Study, operator: str, accuracies: list[float | None], first: int = 0) -> None:
    """Write what runs of ``operator`` leave, pair by pair; None is one that failed."""
    for pair, accuracy in enumerate(accuracies, start=first):
        run = study.run(operator, pair)
        write_plan([run])
        if accuracy is None:
            result = TrainingResult(status="failed", error="out of memory")
        else:
            result = TrainingResult(status="finished", test_accuracy=accuracy, macs=MACS[operator])
        write_result(run.folder, replace(result, config=run.config.to_dict(), seed=run.config.seed))
