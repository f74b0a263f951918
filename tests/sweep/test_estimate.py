"""How long a sweep will take."""

import dataclasses
import time

import pytest

from strideflax.sweep.estimate import TimeLeft, estimate_seconds, macs_left, training_macs
from strideflax.sweep.plan import plan_sweep, write_plan
from strideflax.training.run_folder import write_json


def test_the_estimate_follows_finished_runs(grid, tmp_path):
    runs = plan_sweep(grid, tmp_path / "out", wanted=["downsample=strided_conv"])
    assert estimate_seconds(runs, workers=1) > 0
    write_plan(runs)
    write_json(runs[0].folder / "result.json", {"status": "finished", "train_seconds": 100.0})
    assert estimate_seconds(runs, workers=1) == pytest.approx(100.0)
    assert estimate_seconds(runs, workers=2) == pytest.approx(50.0)


def test_an_estimate_says_that_failed_runs_take_no_time(grid, tmp_path):
    runs = plan_sweep(grid, tmp_path / "out")
    write_plan(runs)
    whole = macs_left(runs)
    write_json(runs[0].folder / "result.json", {"status": "failed"})
    assert macs_left(runs) == whole - training_macs(runs[0].config)
    write_json(runs[1].folder / "result.json", {"status": "finished", "train_seconds": None})
    assert estimate_seconds(runs, workers=1) > 0


def test_stretched_images_take_longer(grid, tmp_path):
    config = plan_sweep(grid, tmp_path / "out")[0].config
    wide = dataclasses.replace(config, data=dataclasses.replace(config.data, stretch=(1, 2)))
    assert training_macs(wide) == pytest.approx(2 * training_macs(config), rel=0.01)


def test_the_time_left_follows_the_speed_so_far(grid, tmp_path):
    runs = plan_sweep(grid, tmp_path / "out", wanted=["downsample=strided_conv"])
    write_plan(runs)
    before = time.monotonic()
    left = TimeLeft(runs, workers=1)
    after = time.monotonic()
    planned = left.seconds()
    time.sleep(0.2)
    assert left.seconds() == planned, "nothing is done yet"
    epochs = [f'{{"epoch": {epoch}, "step": {epoch}}}\n' for epoch in range(1, int(runs[0].config.epochs) + 1)]
    (runs[0].folder / "metrics.jsonl").write_text("".join(epochs))
    least = time.monotonic() - after
    seconds = left.seconds()
    assert least <= seconds <= time.monotonic() - before  # one of two runs took as long
