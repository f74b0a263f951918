"""The measures as anyone calls them: `strideflax.measuring`, plain functions of images, NumPy's loops as the judge."""

import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import log_softmax

from strideflax import measure, measuring
from strideflax.data import Split
from strideflax.operators import MaxPool

SHAPES = [((9, 7, 3), np.uint8), ((8, 12, 1), np.uint8), ((6, 6, 3), np.float32)]


def images_of(shape, dtype, count=5):
    random = np.random.default_rng(0)
    if dtype == np.uint8:
        return random.integers(0, 256, (count, *shape), np.uint8)
    return random.normal(size=(count, *shape)).astype(dtype)


def linear_net(shape, classes=4):
    """A plain JAX function, no module: its weights are constants."""
    weights = np.random.default_rng(1).normal(size=(*shape, classes)).astype(np.float32)

    def predict(images):
        height, width = images.shape[1:3]
        return jnp.einsum("bhwc,hwck->bk", images.astype(jnp.float32), weights[:height, :width])

    return predict, lambda images: np.einsum(
        "bhwc,hwck->bk", images.astype(np.float64), weights[: images.shape[1], : images.shape[2]].astype(np.float64)
    )


@pytest.mark.parametrize(("shape", "dtype"), SHAPES)
def test_shift_consistency_counts_pairs(shape, dtype):
    images = images_of(shape, dtype)
    predict, by_numpy = linear_net(shape)
    labels = by_numpy(images).argmax(-1)
    labels[0] = (labels[0] + 1) % 4
    result = measuring.shift_consistency(predict, images, labels, border="circular", max_shift=2)
    agreements = []
    for image in images:
        shifts = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
        classes = [by_numpy(np.roll(image, shift, (0, 1))[None]).argmax() for shift in shifts]
        pairs = [classes[i] == classes[j] for i in range(25) for j in range(25) if i != j]
        agreements.append(np.mean(pairs))
    assert result["consistency"]["2"] == pytest.approx(np.mean(agreements), abs=1e-12)
    assert result["consistency_given_correct"]["2"] == pytest.approx(np.mean(agreements[1:]), abs=1e-12)
    assert 0.1 < np.mean(agreements) < 1
    assert result["unshifted_accuracy"] == 0.8


@pytest.mark.parametrize(("shape", "dtype"), SHAPES[:2])
def test_corruption_errors_are_those_of_each_corruption_alone(shape, dtype):
    images = images_of(shape, dtype)
    predict, by_numpy = linear_net(shape)
    labels = by_numpy(images).argmax(-1)
    result = measuring.corruption_errors(predict, images, labels, seed=3)
    assert result["clean_error"] == 0
    for name in measuring.CORRUPTIONS:
        for severity in (1, 5):
            wrong = by_numpy(measuring.corrupt(images, name, severity, seed=3)).argmax(-1) != labels
            assert result["errors"][name][str(severity)] == wrong.mean()
    assert 0 < result["mean_error"] < 1


def test_calibration_against_loops():
    random = np.random.default_rng(0)
    logits, labels = 2 * random.normal(size=(300, 5)), random.integers(0, 5, 300)
    logs = log_softmax(logits, axis=-1)
    assert measuring.negative_log_likelihood(logits, labels) == pytest.approx(
        -np.mean([row[label] for row, label in zip(logs, labels, strict=True)]), rel=1e-12
    )
    error = 0.0
    for bin_ in range(15):
        inside = [i for i in range(300) if bin_ / 15 < np.exp(logs[i].max()) <= (bin_ + 1) / 15]
        if inside:
            accuracy = np.mean([logits[i].argmax() == labels[i] for i in inside])
            error += len(inside) / 300 * abs(accuracy - np.mean([np.exp(logs[i].max()) for i in inside]))
    assert measuring.expected_calibration_error(logits, labels) == pytest.approx(error, rel=1e-12)
    assert measuring.expected_calibration_error(logits.tolist(), labels.tolist()) == pytest.approx(error, rel=1e-12)
    shares = [
        np.mean([logits[i].argmax() == label for i in range(200) if labels[i] == label]) for label in (0, 1, 2, 4)
    ]
    without_class_3 = [i for i in range(200) if labels[i] != 3]
    balanced = measuring.balanced_accuracy(logits[without_class_3], labels[without_class_3])
    assert balanced == pytest.approx(np.mean(shares), rel=1e-12)
    impossible = np.array([[0.0, -np.inf, 0.0]])
    assert measuring.negative_log_likelihood(impossible, [2]) == pytest.approx(np.log(2), rel=1e-12)


def test_the_receptive_field_is_the_gradient_by_differences():
    kernel = np.random.default_rng(2).normal(size=(3, 5))

    def features(images):
        taps = jnp.asarray(kernel[None, :, :, None], jnp.float32)
        rows, columns = images.shape[1] // 2, images.shape[2] // 2
        window = images[:, rows - 1 : rows + 2, columns - 2 : columns + 3]
        return jnp.tanh((window * taps).sum((1, 2))).reshape(-1, 1, 1, 1)

    image = 0.1 * np.random.default_rng(3).normal(size=(1, 9, 10, 1))
    field = measuring.effective_field(features, [jnp.asarray(image, jnp.float32)], jax.random.key(0))
    expected = np.zeros((9, 10))
    for row in range(9):
        for column in range(10):
            nudge = np.zeros_like(image)
            nudge[0, row, column, 0] = 1e-2
            up, down = (np.asarray(features(jnp.asarray(image + sign * nudge, jnp.float32))).item() for sign in (1, -1))
            expected[row, column] = abs(up - down) / 2e-2
    np.testing.assert_allclose(field, expected, atol=2e-3)
    assert np.count_nonzero(field) == 15


def test_the_position_probe_finds_what_the_features_hold():
    random = np.random.default_rng(4)

    def split(count):
        images = np.zeros((count, 8, 8, 1), np.uint8)
        centres = random.integers(0, 8, (count, 2))
        images[np.arange(count), centres[:, 0], centres[:, 1]] = 255
        return Split(images, np.zeros(count, np.int32), centres.astype(np.float32))

    def pixels(images):
        return images.astype(jnp.float32) / 255

    def nothing(images):
        return 0 * pixels(images)

    train, val, test = split(200), split(60), split(60)
    error, _ = measuring.probe_position(pixels, train, val, test, (8, 8), batch_size=64)
    assert error < 0.2
    blind, _ = measuring.probe_position(nothing, train, val, test, (8, 8), batch_size=64)
    guess = measuring.position_error_pixels(train.centres.mean(0), test.centres)
    assert blind == pytest.approx(guess, rel=1e-6)


def test_cost_is_measured_on_any_function():
    found = measuring.inference_cost(linear_net((6, 6, 3))[0], images_of((6, 6, 3), np.float32), repeats=3)
    assert found["batch_size"] == 5
    assert found["images_per_second"] == pytest.approx(5000 / found["median_ms"])


def predict(images):
    return images.astype(jnp.float32).sum((1, 2))


BYTES = np.zeros((2, 4, 4, 3), np.uint8)
LABELS = np.zeros(2, int)
MISTAKES = [
    (lambda: measuring.predictor(None, (0.5,) * 3, (0.2,) * 3)(BYTES / 255), "images must be uint8 .*, got float64"),
    (lambda: measuring.predictor(None, (0.5,) * 3, (0.2,) * 3)(BYTES[..., :1]), r"height, width, 3\], got uint8"),
    (lambda: measuring.feature_function(None, (0.5,), (0.2,))(BYTES), r"height, width, 1\], got uint8"),
    (lambda: measuring.error_rate(predict, BYTES[0], LABELS), r"images must have the shape .*, got \[4, 4, 3\]"),
    (lambda: measuring.error_rate(predict, BYTES[:0], LABELS[:0]), r"none of them 0, got \[0, 4, 4, 3\]"),
    (lambda: measuring.error_rate(predict, BYTES, LABELS[:1]), r"labels must be ints of shape \[2\], got int64 \[1\]"),
    (lambda: measuring.error_rate(predict, BYTES, np.eye(2)), r"labels must be ints .*, got float64 \[2, 2\]"),
    (lambda: measuring.error_rate(predict, BYTES, LABELS - 1), "labels must be classes from 0, got -1"),
    (lambda: measuring.shift_consistency(predict, BYTES, LABELS - 1, border="zero", max_shift=1), "got -1"),
    (
        lambda: measuring.corruption_errors(predict, BYTES / 51 - 1, LABELS),
        "float images must be from 0 to 1 to be corrupted",
    ),
    (lambda: measuring.corrupt(BYTES[..., :2], "jpeg", 1), r"width, 1 or 3\], got uint8 \[2, 4, 4, 2\]"),
    (lambda: measuring.expected_calibration_error(np.zeros((2, 3)), LABELS + 3), "under the 3 classes .*, got 3"),
    (lambda: measuring.expected_calibration_error(np.zeros((2, 3)), LABELS, bins=0), "bins must be an int >= 1, got 0"),
    (lambda: measuring.negative_log_likelihood(np.zeros(3), LABELS), r"logits must have the shape .*, got \[3\]"),
    (lambda: measuring.negative_log_likelihood(np.full((2, 3), np.nan), LABELS), "logits must be finite"),
    (lambda: measuring.negative_log_likelihood(np.array([[np.inf, 0], [0, 0]]), LABELS), "logits must be finite"),
    (lambda: measuring.negative_log_likelihood(np.full((2, 3), -np.inf), LABELS), "logits must be finite"),
    (lambda: measuring.effective_field(predict, [jnp.asarray(BYTES)], jax.random.key(0)), "float images.*; got uint8"),
    (lambda: measuring.effective_field(predict, [], jax.random.key(0)), "float images.*; got none"),
    (lambda: measuring.inference_cost(predict, BYTES[0]), "images must have the shape"),
    (lambda: measuring.inference_cost(predict, BYTES, repeats=0), "repeats must be an int >= 1, got 0"),
    (lambda: measuring.error_rate(predict, BYTES.tolist(), LABELS), r"images must be an array \[n, .*, got a list"),
    (lambda: measure.calibration(predict, BYTES, LABELS, batch_size=0), "batch_size must be an int >= 1, got 0"),
    (lambda: measure.aliasing(predict, BYTES, batch_size=-1), "batch_size must be an int >= 1, got -1"),
    (lambda: measure.receptive_field(predict, BYTES, batch_size=0), "batch_size must be an int >= 1, got 0"),
    (lambda: measure.detail(predict, counts=(2, 2, 2), batch_size=0), "batch_size must be an int >= 1, got 0"),
    (
        lambda: measuring.shift_consistency(predict, BYTES, border="zero", max_shift=1.5),
        "max_shift must be 1 or more .*, in whole pixels, got 1.5",
    ),
    (
        lambda: measuring.shift_consistency(predict, BYTES, border="zero", max_shift=1, batch_size=-1),
        "batch_size must be an int >= 1, got -1",
    ),
    (lambda: measure.calibration(lambda x: 1.0 * x, BYTES, LABELS), r"logits must .* got \[2, 4, 4, 3\]"),
    (lambda: measuring.error_rate(lambda x: 1.0 * x, BYTES, LABELS), r"logits must .* got \[2, 4, 4, 3\]"),
    (
        lambda: measuring.shift_consistency(lambda x: 1.0 * x, BYTES, border="zero", max_shift=1),
        r"predict must return logits \[batch, classes\], got a class at each of \[4, 4\] places",
    ),
    (lambda: measure.detail(predict, stretch=(1, 0)), r"stretch must be an int >= 1 .*, got \(1, 0\)"),
    (lambda: measuring.error_rate(predict, BYTES.astype(object), LABELS), "got an array of objects"),
    (lambda: measuring.fractional_shift_consistency(predict, BYTES, parts=2), "parts must be ints >= 2, got 2"),
    (lambda: measuring.fractional_shift_consistency(predict, BYTES, parts=(2.5,)), r"parts must be .*, got \(2.5,\)"),
]


@pytest.mark.parametrize("what", [3, None, nnx.Linear])
def test_what_is_no_function_is_not_measured(what):
    for call in (measure.aliasing, partial(measure.calibration, labels=LABELS), partial(measure.cost, repeats=1)):
        with pytest.raises(
            TypeError, match=r"must be a function of images or a flax.nnx.Module, got (3|None|the class)"
        ):
            call(what, images=BYTES)


@pytest.mark.parametrize(("call", "message"), MISTAKES)
def test_mistakes_are_answered_in_a_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


class Normed(nnx.Module):
    """A network as it is built: in training."""

    def __init__(self):
        self.norm = nnx.BatchNorm(3, rngs=nnx.Rngs(0))
        self.pool = MaxPool(3)

    def __call__(self, x):
        return 10 * self.pool(self.norm(x)).mean((1, 2))


def test_a_module_in_training_is_measured_in_evaluation_and_stays_in_training():
    """Of one image the norm in training would take all that tells the classes apart: every mean would be 0."""
    images, labels = images_of((4, 4, 3), np.float32, 3), np.arange(3)
    images += 3 * np.eye(3, dtype=np.float32).reshape(3, 1, 1, 3)
    model = Normed()
    before = nnx.to_pure_dict(nnx.state(model))
    found = measure.calibration(model, images, labels, batch_size=1)
    assert found["accuracy"] == 1
    assert measuring.predictor(model, (0.0,) * 3, (1.0,) * 3)(BYTES).tolist() == [[0.0] * 3] * 2
    assert measure.aliasing(model, images)
    assert not model.norm.use_running_average
    jax.tree.map(np.testing.assert_array_equal, nnx.to_pure_dict(nnx.state(model)), before)


def test_everything_public_is_documented_and_importing_it_loads_nothing_slow():
    for name in measuring.__all__:
        if callable(getattr(measuring, name)):
            assert getattr(measuring, name).__doc__, name
    slow = {"matplotlib", "pandas", "tensorflow_datasets"}
    script = f"import sys, strideflax.measuring; print(*{slow} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
