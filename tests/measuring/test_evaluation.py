"""All measures on one tiny finished run: what stands in its folder afterwards."""

import json
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest

from configs.baseline import baseline
from strideflax.config import Config, DataConfig
from strideflax.data import DataError, Dataset, Split, load_dataset
from strideflax.data.shapes import draw_shapes
from strideflax.errors import UserError
from strideflax.measuring.corruptions import CORRUPTIONS, SEVERITIES
from strideflax.measuring.evaluation import evaluate_run
from strideflax.measuring.measures import measures_of
from strideflax.measuring.receptive_field import PICTURE
from strideflax.measuring.shifts import BORDERS
from strideflax.measuring.subject import Subject, load_images
from strideflax.model import MiniResNet
from strideflax.training import FinishedRun, TrainingResult

COUNT = 6


def dataset(name: str = "shapes") -> Dataset:
    images, labels, centres = draw_shapes(60, 0)
    split = Split(images=images, labels=labels, centres=centres)
    return Dataset(
        name=name, classes=tuple("abcdefghij"), train=split, val=split, test=split, mean=(0.5,) * 3, std=(0.25,) * 3,
        fingerprint="0" * 12, source="a test",
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> FinishedRun:
    values = baseline("quick").to_dict()
    values["model"].update(widths=(4,), blocks=(1,), strides=(2,), downsample="blur_pool")
    values["model"]["stem"].update(kernel=3)
    values.update(batch_size=8, eval_batch_size=8)
    config = Config.from_dict(values)
    model = MiniResNet(config.model, key=jax.random.key(0))
    return FinishedRun(tmp_path_factory.mktemp("run"), config, TrainingResult(status="finished"), model)


@pytest.fixture(scope="module")
def results(run):
    patch = pytest.MonkeyPatch()
    patch.setattr(Subject, "shapes", dataset())
    reports = []
    found = evaluate_run(run, progress=lambda *report: reports.append(report), load=dataset, images=COUNT)
    patch.undo()
    return found, reports


def test_every_measure_leaves_a_file_with_protocol_seconds_and_device(run, results):
    for name in measures_of("classify"):
        stored = json.loads((run.folder / "measures" / f"{name}.json").read_text())
        assert stored == results[0][name]
        assert stored["measure"] == name
        assert stored["protocol"]
        assert stored["device"]
        assert stored["seconds"] >= 0
        if name not in ("cost", "detail"):
            assert stored["images"] == COUNT
            assert f"first {COUNT} test images" in stored["protocol"]
    assert (run.folder / "measures" / PICTURE).exists()
    assert not [path for path in (run.folder / "measures").iterdir() if path.name.startswith(".")]


def test_every_measure_tells_how_far_it_is(results):
    for name in measures_of("classify"):
        reports = [report[1:] for report in results[1] if report[0] == name]
        assert reports[0] == (0, 1)
        assert reports[-1][0] == reports[-1][1] > 0


def test_the_measures_hold_what_their_functions_return(run, results):
    found, subject = results[0], Subject(run, dataset, max_images=COUNT)
    images, labels = subject.test()
    assert len(images) == COUNT
    classes = np.asarray(subject.predict(images).argmax(-1))
    assert found["calibration"]["accuracy"] == (classes == labels).mean()
    for border in BORDERS:
        assert list(found["shift_consistency"][border]["consistency"]) == ["1", "2", "3", "4"]
    assert found["shift_consistency"]["circular"]["unshifted_accuracy"] == found["calibration"]["accuracy"]
    assert list(found["aliasing"]["sites"]) == ["stem", "stage1/block1/reduction", "stage1/block1/shortcut"]
    assert found["robustness"]["clean_error"] == 1 - found["calibration"]["accuracy"]
    assert {name: list(by) for name, by in found["robustness"]["errors"].items()} == {
        name: [str(s) for s in SEVERITIES] for name in CORRUPTIONS
    }
    # 3 x 3 stem at stride 2, in steps of 2 then 3 x 3 and a blur of 3, in steps of 4 another 3 x 3: 3 + 4 + 4 + 8.
    assert found["receptive_field"]["theoretical_size_pixels"] == {"vertical": 19, "horizontal": 19}
    assert np.shape(found["receptive_field"]["map"]) == (32, 32)


def test_the_final_map_of_every_net_gives_the_position_on_the_embedded_data(results):
    found = results[0]["detail"]
    assert found["map_size"] == [8, 8]
    # Validation and test images are those of the fit here: every net knows more than the centre guess.
    for name in ("trained", "untrained", "undownsampled_untrained"):
        assert 0 <= found[f"{name}_error_pixels"] < found["centre_guess_error_pixels"] / 2


def test_cost_has_times_and_says_where_the_memory_comes_from(results):
    found = results[0]["cost"]
    assert [found[part]["batch_size"] for part in ("inference_batch_1", "inference", "training")] == [1, 8, 8]
    for part in ("inference_batch_1", "inference", "training"):
        assert found[part]["low_quartile_ms"] <= found[part]["median_ms"] <= found[part]["high_quartile_ms"]
        rate = found[part]["batch_size"] / found[part]["median_ms"] * 1000
        assert found[part]["images_per_second"] == pytest.approx(rate)
    assert found["training"]["peak_memory"]["bytes"] > 0
    assert found["training"]["peak_memory"]["source"]


@pytest.mark.parametrize("names", [["speed"], ["cost", "shift"], [""], []])
def test_an_unknown_measure_is_answered_before_anything_runs(run, names):
    with pytest.raises(UserError, match="known: calibration, shift_consistency, aliasing, detail, robustness") as error:
        evaluate_run(run, names, load=dataset)
    assert "\n" not in str(error.value)


def test_cifar10_c_is_for_runs_on_cifar10(run, tmp_path):
    with pytest.raises(UserError, match="CIFAR-10-C fits runs on cifar10 at 32 x 32, got a run on shapes"):
        evaluate_run(run, ["robustness"], load=dataset, cifar10_c=tmp_path)
    with pytest.raises(UserError, match=r"labels\.npy can't be read"):
        evaluate_run(run, ["robustness"], load=partial(dataset, "cifar10"), cifar10_c=tmp_path, images=2)


def missing() -> Dataset:
    raise DataError("no CIFAR-10 in /nowhere")


def with_dataset(run, stored):
    """Return ``run`` with what its result says of its data set."""
    return replace(run, result=TrainingResult(status="finished", dataset=stored))


def test_without_its_images_a_run_has_the_measures_that_need_none(run):
    assert evaluate_run(run, ["cost"], load=missing)["cost"]["training"]["median_ms"] > 0
    with pytest.raises(DataError, match=r"no CIFAR-10 in /nowhere; without images there are --measures detail,cost"):
        evaluate_run(run, ["cost", "calibration"], load=missing)


def test_statistics_that_stand_in_the_result_are_used_in_place_of_the_images(run):
    stored = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}
    assert Subject(run, dataset).statistics == ((0.5,) * 3, (0.25,) * 3)
    assert Subject(with_dataset(run, stored), missing).statistics == tuple(stored.values())
    with pytest.raises(DataError):
        Subject(run, missing).statistics  # noqa: B018


def test_other_images_than_those_of_the_run_are_refused(run):
    with pytest.raises(
        UserError, match=r"was trained on images with fingerprint None, but those found have [0-9a-f]{12};"
    ):
        load_images(run)
    fingerprint = load_dataset(run.config.data).fingerprint
    assert load_images(with_dataset(run, {"fingerprint": fingerprint})).fingerprint == fingerprint


def test_a_file_of_arrays_that_was_moved_is_found_by_its_folder(run, tmp_path):
    images, labels = np.arange(6 * 64, dtype=np.uint8).reshape(6, 8, 8), np.arange(6) % 2
    np.savez(
        tmp_path / "own.npz", train_images=images, train_labels=labels, test_images=images[:2], test_labels=labels[:2]
    )
    data = DataConfig(name=str(tmp_path / "gone" / "own.npz"), val_count=0)
    fingerprint = load_dataset(replace(data, name=str(tmp_path / "own.npz"))).fingerprint
    moved = replace(with_dataset(run, {"fingerprint": fingerprint}), config=replace(run.config, data=data))
    assert load_images(moved, str(tmp_path)).fingerprint == fingerprint


SWITCHES = {
    "transfer_guard": lambda: jax.transfer_guard("disallow"),
    "dtype_promotion": lambda: jax.numpy_dtype_promotion("strict"),
    "x64": lambda: jax.enable_x64(True),
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_the_measures_work_under_jaxs_strict_switches(run, results, switch):
    names = ["calibration", "shift_consistency", "aliasing", "receptive_field"]
    with SWITCHES[switch]():
        found = evaluate_run(run, names, load=dataset, images=COUNT)
    assert found["calibration"]["accuracy"] == results[0]["calibration"]["accuracy"]
    assert found["shift_consistency"]["zero"] == results[0]["shift_consistency"]["zero"]
    energies = [site["alias_energy"] for site in found["aliasing"]["sites"].values()]
    expected = [site["alias_energy"] for site in results[0]["aliasing"]["sites"].values()]
    assert energies == pytest.approx(expected, rel=1e-4)
