"""A run that segments, from its config to measures and report."""

import json

import numpy as np
import pytest

from configs.segment import get_config
from strideflax.analysis.ablation import read_ablation
from strideflax.analysis.run_table import load
from strideflax.config import Config
from strideflax.config_file import override
from strideflax.errors import ConfigError, UserError
from strideflax.measuring.evaluation import evaluate_run
from strideflax.measuring.measures import measures_of
from strideflax.report.write import write_report
from strideflax.training import restore_run, train
from strideflax.training.run_folder import read_metrics

SMALL = {
    "model.widths": (4, 6),
    "model.blocks": (1, 1),
    "model.strides": (1, 2),
    "data.train_count": 24,
    "data.val_count": 6,
    "data.test_count": 8,
    "augment.scale": 0.2,
    "batch_size": 8,
    "eval_batch_size": 5,
    "epochs": 2.0,
}


def config(**changes):
    values = get_config("quick").to_dict()
    override(values, SMALL | changes)
    return Config.from_dict(values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    train(config(), runs / "strided")
    return runs


def test_a_run_has_mean_ious_and_its_masks_can_be_had(folder):
    run = restore_run(folder / "strided")
    result = json.loads((folder / "strided" / "result.json").read_text())
    assert 0 < result["test_mean_iou"] < result["test_accuracy"] < 1
    assert result["dataset"]["classes"] == ["ground", "rows", "columns", "checks", "dots"]
    assert [0 < record["val_mean_iou"] < 1 for record in read_metrics(folder / "strided")] == [True, True]
    assert run.predict(np.zeros((2, 40, 48, 3), np.uint8)).shape == (2, 40, 48, 5)


def test_measures_of_the_task_agree_with_the_result(folder):
    run = restore_run(folder / "strided")
    found = evaluate_run(run, ["segmentation", "mask_shifts"], images=8)
    assert found["segmentation"]["mean_iou"] == pytest.approx(run.result.test_mean_iou, abs=1e-9)
    assert found["segmentation"]["pixel_accuracy"] == pytest.approx(run.result.test_accuracy, abs=1e-9)
    assert (run.folder / "measures" / "segmentation.png").stat().st_size > 10_000
    assert (
        0 < found["mask_shifts"]["reflect"]["worst_case_consistency"] <= found["mask_shifts"]["reflect"]["consistency"]
    )
    with pytest.raises(
        UserError, match=r"calibration can't be taken of a run whose task is 'segment'; there are: aliasing"
    ):
        evaluate_run(run, ["calibration"])
    assert "cost" in measures_of("segment")


def test_the_report_is_about_mean_iou(folder, tmp_path):
    ablation = read_ablation(load(folder))
    assert (ablation.score.words, ablation.ranked_by) == ("mean IoU", "val_mean_iou")
    write_report(folder, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "test mean IoU, %" in text
    assert "accuracy" not in text.lower().replace("figures/accuracy.svg", "")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"task": "segment"}, r"data.name must be one of scenes, camvid, mask_folder, as config.task is 'segment'"),
        ({"data.name": "scenes"}, r"data.name must be images with one class each, as config.task is 'classify'"),
        ({"model.decoder": "unet"}, r"model.decoder must be None where config.task is 'classify'"),
        ({"augment.scale": 0.1}, r"augment.scale must be 0 where config.task is 'classify'"),
        ({"task": "detect"}, r"task must be one of classify, segment, got 'detect'"),
    ],
)
def test_a_task_with_what_does_not_fit_it(tiny, changes, line):
    with pytest.raises(ConfigError, match=line):
        tiny(**changes)
    with pytest.raises(ConfigError, match=r"model.decoder must be one of resize, unet"):
        config(**{"model.decoder": None})
