from dataclasses import replace

import pytest

from configs.baseline import baseline
from strideflax.benchmark.remote import ContenderError
from strideflax.benchmark.scaling import AXES, draw_scaling, ideal, measure_points, points
from strideflax.config import Config

CONFIG = Config.from_dict(baseline().to_dict())


def row(at, macs, speed):
    return {"at": at, "macs": macs, "images_per_second": {"median": speed, "lowest": speed - 1, "highest": speed + 2}}


def test_the_axes_change_what_they_say_and_nothing_else():
    along = {axis: points(axis, CONFIG, label="stride2") for axis in AXES}
    assert [(p.at, p.step.config["model"]["widths"]) for p in along["width"]] == [
        (16, [16, 32, 64]), (32, [32, 64, 128]), (64, [64, 128, 256]), (128, [128, 256, 512]),
    ]  # fmt: skip
    assert [(p.at, p.step.size, p.step.batch) for p in along["image"]] == [(16, 16, 128), (32, 32, 128), (64, 64, 128)]
    assert [p.step.batch for p in along["batch"]] == [p.at for p in along["batch"]] == [16, 32, 64, 128, 256, 512]
    assert [(p.at, p.devices, p.environment["JAX_NUM_CPU_DEVICES"]) for p in along["devices"]] == [
        (n, n, str(n)) for n in (1, 2, 4)
    ]
    assert [(p.at, p.step.steps, p.step.images_per_call) for p in along["dispatch"]] == [
        (n, n, 128 * n) for n in (1, 2, 5, 10, 50)
    ]  # fmt: skip
    assert [(p.at, p.step.seeds, p.step.images_per_call) for p in along["seeds"]] == [
        (n, n, 128 * n) for n in (1, 2, 4, 8)
    ]
    assert {(p.step.steps, p.step.seeds) for axis in ("width", "image", "batch", "devices") for p in along[axis]} == {
        (1, 1)
    }
    assert {p.step.size for p in (*along["width"], *along["batch"], *along["devices"])} == {32}


@pytest.mark.parametrize(
    ("allowed", "seen"), [(None, ["0", "0,1", "0,1,2,3"]), ("6,7", ["6", "6,7", "6,7"]), ("", ["0", "0,1", "0,1,2,3"])]
)
def test_of_cuda_s_devices_only_those_are_used_that_may_be(allowed, seen, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if allowed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    along = points("devices", CONFIG, label="stride2")
    assert [p.environment["CUDA_VISIBLE_DEVICES"] for p in along] == seen


def test_a_machine_with_other_devices_is_not_measured():
    point = replace(points("devices", CONFIG, label="stride2")[1], environment={"JAX_NUM_CPU_DEVICES": "3"})
    with pytest.raises(ContenderError, match="2 devices are wanted, there are 3"):
        next(measure_points([point], rounds=1))


def test_the_ideal_line_is_the_best_arithmetic_rate_at_every_point():
    rows = [row(1, 10, 50.0), row(2, 40, 20.0), row(4, 160, 4.0)]  # 500, 800 and 640 multiply-adds per second
    assert ideal("width", rows) == [80.0, 20.0, 5.0]


def test_the_ideal_line_of_devices_is_proportional():
    assert ideal("devices", [row(1, 10, 50.0), row(2, 10, 70.0)]) == [50.0, 100.0]


@pytest.mark.parametrize("axis", AXES)
def test_the_figure_shows_points_and_ideal(axis):
    rows = [row(16, 10, 50.0), row(32, 40, 20.0)]
    (axes,) = draw_scaling(axis, rows, title="a title").axes
    line, measured = axes.get_lines()[:2]
    assert list(line.get_ydata()) == ideal(axis, rows)
    assert list(measured.get_xdata()) == [16, 32]
    assert list(measured.get_ydata()) == [50.0, 20.0]
    assert axes.get_xlabel() == AXES[axis]
    assert axes.get_ylim()[0] == 10
