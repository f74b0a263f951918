"""A run on a user's own images: their classes, channels and size reach the model, the result and the measures."""

import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from strideflax.errors import UserError
from strideflax.measuring.evaluation import evaluate_run
from strideflax.measuring.subject import Subject, load_images
from strideflax.training import restore_run, train

CLASSES = ("bright", "dark", "größer")
COUNTS = (30, 20, 10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("own") / "three shades"
    random = np.random.default_rng(0)
    for name, count, shade in zip(CLASSES, COUNTS, (200, 40, 120), strict=True):
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(random.integers(shade - 40, shade + 40, (20, 20), np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def config(folder, tiny):
    own = {"data.name": "folder", "data.dir": str(folder), "data.val_count": None}
    counts = {"data.train_count": None, "data.test_count": None}
    return tiny(**own, **counts, **{"batch_size": 8, "augment.crop": 0})


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "own"
    train(config, path)
    return restore_run(path)


def test_the_result_says_what_a_user_of_the_weights_needs(run):
    dataset = run.result.dataset
    assert dataset["name"] == "three shades (folder)"
    assert tuple(dataset["classes"]) == run.classes == CLASSES
    assert run.image_shape == (20, 20, 1)
    assert (dataset["train_count"], dataset["val_count"], dataset["test_count"]) == (43, 5, 12)
    assert run.model.in_features == 1
    assert run.predict(np.zeros((2, 20, 20, 1), np.uint8)).shape == (2, 3)


def test_accuracies_by_class_add_up(run):
    result = json.loads((run.folder / "result.json").read_text())
    by_class = {name: np.array(counts) for name, counts in result["test_by_class"].items()}
    assert by_class["images"].tolist() == [6, 4, 2]
    assert by_class["predicted"].sum() == 12
    assert by_class["correct"].sum() / 12 == pytest.approx(result["test_accuracy"])
    assert (by_class["correct"] / by_class["images"]).mean() == pytest.approx(result["test_balanced_accuracy"])


def test_measures_take_the_run_s_own_shape(run):
    measured = evaluate_run(run, ["calibration"])
    assert measured["calibration"]["balanced_accuracy"] == pytest.approx(run.result.test_balanced_accuracy)
    assert Subject(run, partial(load_images, run)).shapes.test.images.shape == (1000, 20, 20, 1)


def test_a_finished_run_is_not_taken_for_one_of_changed_images(config, run, folder, tmp_path):
    assert train(config, run.folder).test_accuracy == run.result.test_accuracy
    moved = folder / CLASSES[0] / "0.png"
    kept = moved.rename(tmp_path / "0.png")
    try:
        with pytest.raises(UserError, match="was begun on images with fingerprint"):
            train(config, run.folder)
        elsewhere = tmp_path / "elsewhere"
        shutil.copytree(folder, elsewhere)
    finally:
        kept.rename(moved)
    other = replace(config, data=replace(config.data, dir=str(elsewhere)))
    message = f"those of config.data.dir={elsewhere} have .* its own by --config.data.dir={folder}, or choose another --workdir"
    with pytest.raises(UserError, match=message):
        train(other, run.folder)
