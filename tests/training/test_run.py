"""A run from configuration to result; what a user counts on when it is interrupted, damaged or started twice."""

import json
import shutil

import filelock
import jax
import numpy as np
import pytest

from strideflax.config import ConfigError
from strideflax.data import load_dataset
from strideflax.errors import UserError
from strideflax.tasks import TASKS, ClassCounts, Evaluation
from strideflax.tasks.classify import smoothed_cross_entropy
from strideflax.training import Interrupted, restore_run, train
from strideflax.training.run_folder import RunFolderError, read_json, read_metrics


class Notes:
    """Progress that keeps what it is told."""

    def __init__(self):
        self.plans, self.steps, self.records, self.notes = [], [], [], []

    def images(self, what, done, total):
        pass

    def plan(self, plan):
        self.plans.append(plan)

    def step(self, done, total):
        self.steps.append((done, total))

    def epoch(self, record):
        self.records.append(record)

    def note(self, text):
        self.notes.append(text)


def weights(folder):
    from flax import nnx

    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(restore_run(folder).model))]


def assert_same_weights(one, other):
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(a, b)


def without_times(records):
    return [{k: v for k, v in record.items() if k not in ("seconds", "images_per_second")} for record in records]


def test_the_folder_holds_the_whole_story(finished, tiny):
    assert read_json(finished / "config.json") == tiny().to_dict()
    records = read_metrics(finished)
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert [record["step"] for record in records] == [5, 10, 15]
    result = read_json(finished / "result.json")
    assert result["status"] == "finished"
    assert result["steps"] == 15
    assert result["config_fingerprint"] == tiny().fingerprint
    assert result["dataset"]["train_count"], result["dataset"]["test_count"] == (160, 70)
    assert result["val_accuracy"] == records[-1]["val_accuracy"]
    for name in ("params", "macs", "images_per_second", "compile_seconds", "train_seconds"):
        assert result[name] > 0, name
    for name in ("test_accuracy", "test_loss", "val_loss", "seed", "config", "device", "versions"):
        assert result[name] is not None, name


def test_the_test_accuracy_is_the_models_over_every_image(finished, tiny):
    from strideflax.data import load_dataset, normalize

    run, dataset = restore_run(finished), load_dataset(tiny().data)
    images = normalize(dataset.test.images, dataset.mean, dataset.std)
    predictions = np.asarray(run.model(images)).argmax(-1)
    assert (predictions == dataset.test.labels).mean() == pytest.approx(run.result.test_accuracy, abs=1e-6)


def test_the_batch_size_of_evaluation_changes_nothing(finished, tiny, tmp_path):
    train(tiny(eval_batch_size=70), tmp_path / "run")
    one, other = read_json(finished / "result.json"), read_json(tmp_path / "run" / "result.json")
    assert one["test_accuracy"] == other["test_accuracy"]
    assert one["test_loss"] == pytest.approx(other["test_loss"], rel=1e-5)
    assert_same_weights(finished, tmp_path / "run")


@pytest.mark.parametrize("stop_at", [5, 7])
def test_an_interrupted_run_ends_bit_for_bit_as_if_nothing_had_happened(finished, tiny, tmp_path, stop_at):
    progress = Notes()
    stop = iter([False] * (stop_at - 1) + [True])
    with pytest.raises(Interrupted, match=f"step {stop_at} of 15"):
        train(tiny(), tmp_path / "run", should_stop=lambda: next(stop))
    assert not (tmp_path / "run" / "result.json").exists()
    train(tiny(), tmp_path / "run", progress=progress)
    assert any(f"resumed at step {stop_at} of 15" in note for note in progress.notes)
    assert_same_weights(finished, tmp_path / "run")
    assert without_times(read_metrics(tmp_path / "run")) == without_times(read_metrics(finished))


def test_the_average_of_weights_is_what_a_run_leaves_and_what_is_validated(tiny, tmp_path):
    config = tiny(
        **{
            "model.network": "resnet9", "model.stem.width": 4, "model.blocks": (0, 0), "model.strides": (2, 2),
            "model.downsample": "max_pool", "augment.crop_padding": "reflect", "augment.alternate_flips": True,
            "augment.cutout": 4, "optimizer.average_decay": 0.9, "epochs": 2.0,
        }
    )  # fmt: skip
    result = train(config, tmp_path / "run")
    run, dataset = restore_run(tmp_path / "run"), load_dataset(config.data)
    told = {"test": result.test_loss, "val": read_metrics(tmp_path / "run")[-1]["val_loss"]}
    for name, loss in told.items():
        split = getattr(dataset, name)
        losses = smoothed_cross_entropy(run.predict(split.images), split.labels, 0.0)
        assert float(losses.mean()) == pytest.approx(loss, rel=1e-5)


def test_several_steps_a_dispatch_change_nothing(finished, tiny, tmp_path):
    progress = Notes()
    result = train(tiny(), tmp_path / "run", progress=progress, steps_per_dispatch=3)
    assert [done for done, _ in progress.steps] == [3, 4, 5, 8, 9, 10, 13, 14, 15]  # an epoch has five
    assert result.steps_per_dispatch == 3
    assert without_times(progress.records) == without_times(read_metrics(finished))
    assert_same_weights(finished, tmp_path / "run")


def test_a_stop_between_dispatches_goes_on_with_single_steps(finished, tiny, tmp_path):
    stop = iter([False, True])
    with pytest.raises(Interrupted, match="step 4 of 15"):
        train(tiny(), tmp_path / "run", should_stop=lambda: next(stop), steps_per_dispatch=2)
    assert train(tiny(), tmp_path / "run").steps_per_dispatch == 1
    assert_same_weights(finished, tmp_path / "run")


def test_a_dispatch_has_no_more_steps_than_an_epoch(tiny, tmp_path):
    progress = Notes()
    assert train(tiny(), tmp_path / "run", progress=progress, steps_per_dispatch=50).steps_per_dispatch == 5
    assert [done for done, _ in progress.steps] == [5, 10, 15]


@pytest.mark.parametrize("steps", [0, 51, 2.0, "3"])
def test_a_dispatch_has_1_to_50_steps(tiny, tmp_path, steps):
    with pytest.raises(UserError, match=f"from 1 to 50, got {steps!r}"):
        train(tiny(), tmp_path / "run", steps_per_dispatch=steps)
    assert not (tmp_path / "run").exists()


def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(finished, tiny, tmp_path):
    stop = iter([False] * 10 + [True])
    with pytest.raises(Interrupted):
        train(tiny(), tmp_path / "run", should_stop=lambda: next(stop))
    newest = tmp_path / "run" / "checkpoints" / "11"
    arrays = max((p for p in newest.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(content)
    progress = Notes()
    train(tiny(), tmp_path / "run", progress=progress)
    assert any("checkpoint 11 is damaged" in note for note in progress.notes)
    assert any("resumed at step 10 of 15" in note for note in progress.notes)
    assert_same_weights(finished, tmp_path / "run")


def test_a_run_does_not_go_on_with_other_images(tiny, tmp_path, monkeypatch):
    stop = iter([False] * 5 + [True])
    with pytest.raises(Interrupted):
        train(tiny(), tmp_path / "run", should_stop=lambda: next(stop))
    from strideflax.data import shapes

    monkeypatch.setattr(shapes, "TRAIN_SEED", 7)
    with pytest.raises(RunFolderError, match="was begun on images with fingerprint"):
        train(tiny(), tmp_path / "run")


def test_a_finished_run_is_left_alone(finished, tiny):
    before = (finished / "result.json").read_bytes()
    progress = Notes()
    result = train(tiny(), finished, progress=progress)
    assert progress.notes == [f"already finished: {finished}"]
    assert not progress.steps
    assert result.to_dict() == json.loads(before)
    assert (finished / "result.json").read_bytes() == before


def test_another_configuration_does_not_touch_the_folder(finished, tiny):
    changed = {"model.strides": (1, 4)}
    message = r"another configuration: model.strides is \[1, 2\] there, \[1, 4\] here, seed is 0 there, 1 here; choose"
    with pytest.raises(RunFolderError, match=message):
        train(tiny(seed=1, **changed), finished)


def test_a_wrong_folder_is_refused_before_images_are_looked_for(finished, tiny):
    with pytest.raises(RunFolderError, match="another configuration"):
        train(tiny(**{"data.name": "cifar10", "data.dir": "/no/such/folder"}), finished)


def test_a_finished_run_is_none_of_other_images(finished, tiny, monkeypatch):
    from strideflax.data import shapes

    elsewhere = tiny(**{"data.dir": "elsewhere"})
    assert train(elsewhere, finished).status == "finished", "the same images in another place"
    monkeypatch.setattr(shapes, "TRAIN_SEED", 7)
    with pytest.raises(RunFolderError, match="was begun on images with fingerprint"):
        train(elsewhere, finished)


def test_a_folder_of_something_else_is_not_taken(tiny, tmp_path):
    (tmp_path / "thesis.tex").write_text("do not lose me")
    with pytest.raises(RunFolderError, match="not empty and not a run folder"):
        train(tiny(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_that_another_process_holds_is_refused(tiny, tmp_path):
    (tmp_path / "run").mkdir()
    with (
        filelock.FileLock(tmp_path / "run" / ".lock"),
        pytest.raises(RunFolderError, match="in use by another process"),
    ):
        train(tiny(), tmp_path / "run")


def test_a_loss_that_is_not_finite_ends_the_run_as_diverged(tiny, tmp_path):
    changes = {"optimizer.learning_rate": 1e30, "optimizer.warmup_epochs": 0.0}
    result = train(tiny(**changes), tmp_path / "run")
    assert result.status == "diverged"
    assert result.test_accuracy is None
    assert result.steps <= 50
    assert f"not finite at step {result.steps}" in result.error
    assert "try a smaller optimizer.learning_rate" in result.error
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result.to_dict()


def test_a_loss_that_stops_being_finite_keeps_the_last_good_checkpoint(finished, tiny, tmp_path, monkeypatch):
    from strideflax.training import sharing

    make = sharing.make_train_step

    def poisoned(*arguments):
        step = make(*arguments)

        def bad(state, *inputs):
            state = step(state, *inputs)
            return state._replace(loss_sum=jax.numpy.where(state.step >= 12, jax.numpy.nan, state.loss_sum))

        return bad

    monkeypatch.setattr(sharing, "make_train_step", poisoned)
    result = train(tiny(), tmp_path / "run")
    assert (result.status, result.steps) == ("diverged", 15)
    assert [record["epoch"] for record in read_metrics(tmp_path / "run")] == [1, 2]
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir() if p.is_dir()) == ["10", "5"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 161}, "batch_size must be at most the 160 training images, got 161"),
        ({"model.strides": (1, 64)}, r"model.strides\[1\] empties the map: a stride of 64 on 16 x 16"),
    ],
)
def test_what_only_the_data_can_refuse_leaves_no_folder(tiny, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        train(tiny(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_every_operator_sees_the_same_images_in_the_same_order(tiny):
    from strideflax.training.step import epoch_order

    orders = [
        np.asarray(epoch_order(jax.random.key(seed), epoch, 100)) for seed, epoch in [(0, 0), (0, 0), (0, 1), (1, 0)]
    ]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert sorted(orders[0]) == list(range(100))
    assert not np.array_equal(orders[0], orders[2])
    assert not np.array_equal(orders[0], orders[3])


def test_a_run_whose_weights_are_gone_says_so(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(RunFolderError, match="its checkpoint is gone"):
        restore_run(tmp_path / "run")


def test_a_run_that_takes_every_image_for_one_class_finishes_with_a_warning(tiny, tmp_path):
    progress = Notes()
    result = train(tiny(**{"optimizer.learning_rate": 1e6, "epochs": 1.0}), tmp_path / "run", progress=progress)
    assert result.status == "finished"
    (warning,) = result.warnings
    assert "every test image is taken for the same class" in warning
    assert f"warning: {warning}" in progress.notes
    assert read_json(tmp_path / "run" / "result.json")["warnings"] == [warning]


@pytest.mark.parametrize(
    ("accuracy", "predicted", "expected"),
    [
        (0.128, [900, 100] + [0] * 8, "12.8% is that of guessing among 10 classes"),
        (0.129, [900, 100] + [0] * 8, None),
        (0.1, [1000] + [0] * 9, "same class"),
        (0.9, [100] * 10, None),
    ],
)
def test_what_is_suspicious_about_a_finished_run(accuracy, predicted, expected):
    counts = ClassCounts(None, None, np.array(predicted))
    found = TASKS["classify"].suspicions(Evaluation(1.0, accuracy, counts))
    assert found is None if expected is None else expected in found[0]


def test_a_finished_run_is_used_without_its_data_set(finished, tiny, monkeypatch):
    from strideflax.data import load_dataset

    images = load_dataset(tiny().data).test.images
    run = restore_run(str(finished))
    monkeypatch.setattr("strideflax.training.result.load_dataset", None)
    logits = run.predict(images)
    assert (logits.shape, logits.dtype, len(run.classes)) == ((70, 10), np.float32, 10)
    labels = load_dataset(tiny().data).test.labels
    assert (np.asarray(logits).argmax(-1) == labels).mean() == pytest.approx(run.result.test_accuracy, abs=1e-6)
    with pytest.raises(ValueError, match="uint8"):
        run.predict(images.astype(np.float32))


def test_the_inputs_of_an_older_run_come_from_its_data_set(finished, tiny, tmp_path):
    from strideflax.data import load_dataset

    shutil.copytree(finished, tmp_path / "run")
    result = read_json(finished / "result.json")
    for name in ("mean", "std", "classes"):
        del result["dataset"][name]
    (tmp_path / "run" / "result.json").write_text(json.dumps(result))
    run, dataset = restore_run(tmp_path / "run"), load_dataset(tiny().data)
    assert (run.mean, run.std, run.classes) == (dataset.mean, dataset.std, dataset.classes)
    assert (run.mean, run.std, run.classes) == tuple(
        getattr(restore_run(finished), n) for n in ("mean", "std", "classes")
    )


def test_nothing_is_sent_to_a_device_or_back_without_being_asked(finished, tiny, tmp_path):
    stop = iter([False] * 6 + [True])
    with jax.transfer_guard("disallow"):
        with pytest.raises(Interrupted):
            train(tiny(), tmp_path / "run", should_stop=lambda: next(stop))
        train(tiny(), tmp_path / "run")
    assert_same_weights(finished, tmp_path / "run")


def test_float64_as_a_process_s_default_trains_too(tiny, tmp_path):
    with jax.enable_x64(True):
        result = train(tiny(epochs=1.0), tmp_path / "run")
    assert (result.status, result.steps) == ("finished", 5)
