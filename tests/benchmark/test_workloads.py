import dataclasses
import json

import jax
import numpy as np
import pytest

from configs.baseline import baseline
from strideflax.benchmark import jax_workloads, workloads
from strideflax.benchmark.contenders import CONTENDERS
from strideflax.benchmark.workloads import (
    Increment,
    OperatorCall,
    Product,
    Step,
    from_job,
    operators,
    projected,
    to_job,
)
from strideflax.config import Config

CONFIG = Config.from_dict(baseline("quick").to_dict())
CONV = OperatorCall(operator="conv", window=3, stride=2, size=8, in_features=3, out_features=5, batch=2)


@pytest.mark.parametrize(
    "workload", [Step.of("quick", CONFIG, dtype="bfloat16"), CONV, Product(size=16), Increment(numbers=9)]
)
def test_a_workload_reaches_another_process_whole(workload):
    sent = json.loads(json.dumps(to_job(workload)))
    assert to_job(from_job(sent)) == sent
    assert from_job(sent).name == workload.name


def test_a_step_is_the_config_without_augmentation_at_a_constant_small_rate():
    step = Step.of("quick", CONFIG, dtype="bfloat16")
    config = Config.from_dict(step.config)
    assert (config.augment.crop, config.augment.flip, config.augment.cutout) == (0, False, 0)
    assert config.model.dtype == step.dtype == "bfloat16"
    assert (config.optimizer.schedule, config.optimizer.learning_rate) == ("constant", 0.01)
    assert config.optimizer.weight_decay == CONFIG.optimizer.weight_decay
    assert config.model.widths == CONFIG.model.widths
    assert step.batch == 128


def test_every_process_gets_the_same_numbers():
    for first, second in zip(CONV.arrays(), CONV.arrays(), strict=True):
        np.testing.assert_array_equal(first, second)
    step = Step.of("quick", CONFIG, dtype="float32")
    np.testing.assert_array_equal(step.images().images, step.images().images)
    assert step.images().images.shape == (256, 32, 32, 3)


@pytest.mark.parametrize("workload", operators("float32"), ids=lambda workload: workload.name)
def test_the_stated_output_shape_is_what_is_computed(workload):
    forward = jax_workloads.forward_of(workload)
    arrays = (jax.ShapeDtypeStruct(s, "float32") for s in (workload.input_shape, workload.kernel_shape))
    assert jax.eval_shape(forward, *arrays).shape == workload.output_shape


SMALL_MODEL = dataclasses.replace(CONFIG.model, widths=(4,), blocks=(1,), strides=(2,))
SMALL = dataclasses.replace(CONFIG, batch_size=8, model=SMALL_MODEL)


def losses_of(tmp_path, *, seed=0, **more):
    step = Step.of("small", dataclasses.replace(SMALL, seed=seed), dtype="float32", **more)
    return jax_workloads.prepare(step, CONTENDERS["auto"], tmp_path / "weights.npz").facts["loss_sum"]


def test_a_call_of_two_steps_does_two(tmp_path, monkeypatch):
    twice = losses_of(tmp_path, steps=2)
    monkeypatch.setattr(workloads, "CHECKED_STEPS", 2 * workloads.CHECKED_STEPS)
    assert losses_of(tmp_path) == pytest.approx(twice, rel=1e-6)


def test_two_seeds_in_one_program_learn_what_they_learn_apart(tmp_path):
    apart = [losses_of(tmp_path, seed=seed) for seed in (0, 1)]
    assert apart[0] != pytest.approx(apart[1], rel=1e-3)
    assert losses_of(tmp_path, seeds=2) == pytest.approx(sum(apart), rel=1e-5)


def test_multiplications_and_additions_by_hand():
    multiply_adds = 2 * (4 * 4) * (3 * 3) * 3 * 5  # images, output pixels, taps, channels in and out
    assert CONV.flops == 2 * multiply_adds
    assert dataclasses.replace(CONV, backward=True).flops == 3 * 2 * multiply_adds
    assert dataclasses.replace(CONV, backward=True, input_gradient=False).flops == 2 * 2 * multiply_adds
    assert dataclasses.replace(CONV, operator="max_pool").flops is None
    assert Product(size=10).flops == 2000


def test_traffic_with_memory_by_hand():
    pool = dataclasses.replace(CONV, operator="max_pool", in_features=5)
    numbers = 2 * (8 * 8 + 4 * 4) * 5  # images, pixels in and out, channels
    assert pool.bytes == 4 * numbers
    assert dataclasses.replace(pool, backward=True, dtype="bfloat16").bytes == 2 * 2 * numbers
    assert CONV.bytes is None
    assert Increment(numbers=10, dtype="bfloat16").bytes == 2 * 2 * 10


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_increment_adds_one(dtype, tmp_path):
    got = jax_workloads.prepare(Increment(numbers=1001, dtype=dtype), CONTENDERS["auto"], tmp_path / "none").facts[
        "results"
    ]
    assert got == [projected(np.arange(1000) % 128 + 1)]


def test_a_projection_tells_arrays_apart_and_knows_their_size():
    a = np.arange(6.0).reshape(2, 3)
    assert projected(a) == projected(a.copy())
    assert projected(a)[0] != pytest.approx(projected(a[::-1])[0], rel=1e-3)
    assert projected(a)[1] == pytest.approx(np.sqrt((a**2).mean()))


def test_the_results_are_the_output_and_the_wanted_gradients(tmp_path):
    """Against derivatives of sum(output * cotangent) taken by JAX of the same function."""
    conv = OperatorCall(
        operator="conv", window=3, stride=2, size=6, in_features=2, out_features=3, batch=2, backward=True
    )
    got = jax_workloads.prepare(conv, CONTENDERS["auto"], tmp_path / "none").facts["results"]
    x, kernel, cotangent = conv.arrays()
    forward = jax_workloads.forward_of(conv)
    gradients = jax.grad(lambda x, kernel: (forward(x, kernel) * cotangent).sum(), (0, 1))(x, kernel)
    expected = [projected(np.asarray(a)) for a in (forward(x, kernel), *gradients)]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
