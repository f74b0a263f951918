"""The modules under Flax's own tools: tabulate, train and eval, streams of keys, Sequential, masks and axis names."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import strideflax
from strideflax import DOWNSAMPLERS, downsampler
from strideflax.model import BatchNorm, MiniResNet, ModelConfig
from strideflax.operators import StochasticPool

SMALL = {"widths": (4, 4), "blocks": (1, 1), "strides": (1, 2)}


@pytest.mark.parametrize("name", list(DOWNSAMPLERS))
def test_tabulate_lists_an_operator_and_leaves_it_usable(name):
    operator = downsampler(name)(2, rngs=nnx.Rngs(0))
    x = jnp.ones((1, 4, 4, 2))
    before = operator(x)
    assert type(operator).__name__ in nnx.tabulate(operator, x, console_kwargs={"width": 200})
    np.testing.assert_array_equal(operator(x), before)


def test_tabulate_lists_the_network():
    model = MiniResNet(ModelConfig(downsample="blur_pool", **SMALL), key=jax.random.key(0))
    table = nnx.tabulate(model, jnp.ones((1, 8, 8, 3)), console_kwargs={"width": 200})
    for word in ("MiniResNet", "StridedConv", "BlurPool", "BatchNorm"):
        assert word in table


@pytest.mark.parametrize("name", ["stochastic_pool", "lps"])
def test_a_stochastic_operator_follows_train_and_eval_and_draws_from_its_stream(name, random):
    x = jnp.asarray(random.uniform(size=(2, 8, 8, 2)), jnp.float32)
    model = nnx.Sequential(nnx.Conv(2, 2, (1, 1), rngs=nnx.Rngs(0)), nnx.relu, downsampler(name)(2, rngs=nnx.Rngs(0)))
    settled = model(x)
    np.testing.assert_array_equal(model(x), settled)  # a new module is in evaluation
    model.train()
    assert not np.array_equal(model(x), model(x))  # each call draws anew
    model.eval()
    np.testing.assert_array_equal(model(x), settled)


def test_a_stream_is_flax_s_and_a_key_comes_before_it(random):
    x = jnp.asarray(random.uniform(size=(1, 8, 8, 2)), jnp.float32)
    first, second = (StochasticPool(2, rngs=nnx.Rngs(pooling=7)) for _ in range(2))
    first.train()
    second.train()
    np.testing.assert_array_equal(first(x), second(x))
    expected = strideflax.stochastic_pool(x, 2, key=jax.random.key(3))
    np.testing.assert_array_equal(first(x, key=jax.random.key(3)), expected)
    alone = StochasticPool(2, rngs=nnx.Rngs(params=0))
    alone.train()
    with pytest.raises(ValueError, match=r"StochasticPool needs a key in training, got None; pass key=jax.random.key"):
        alone(x)


def test_the_network_follows_train_and_eval(random):
    model = MiniResNet(ModelConfig(**SMALL), key=jax.random.key(0))
    x = jnp.asarray(random.normal(size=(4, 8, 8, 3)), jnp.float32)
    in_evaluation = model(x)
    mean = np.array(model.stem.layers[1].mean[...])
    np.testing.assert_array_equal(model.stem.layers[1].mean[...], mean)  # evaluation moves no statistics
    model.train()
    np.testing.assert_array_equal(model(x), nnx.clone(model)(x, train=True))
    assert not np.array_equal(model.stem.layers[1].mean[...], mean)
    model.eval()
    assert not np.array_equal(model(x), in_evaluation)  # by the statistics that training has moved


def test_images_that_nobody_normalised_are_refused():
    model = MiniResNet(ModelConfig(**SMALL), key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"MiniResNet takes normalised floating-point images, got uint8"):
        model(jnp.zeros((1, 8, 8, 3), jnp.uint8))


# BatchNorm


def both(**options):
    return [cls(3, rngs=nnx.Rngs(0), **options) for cls in (BatchNorm, nnx.BatchNorm)]


def test_batch_norm_in_evaluation_leaves_its_statistics_alone(random):
    x = jnp.asarray(random.normal(size=(4, 5, 3)), jnp.float32)
    for norm in both():
        norm.eval()
        norm(x)
        np.testing.assert_array_equal(norm.mean[...], 0)
        norm.train()
        norm(x)
        assert np.abs(norm.mean[...]).min() > 0


def test_batch_norm_heeds_a_mask_and_an_axis_name(random):
    x = jnp.asarray(random.normal(size=(4, 5, 3)) * 2 + 1, jnp.float32)
    mask = jnp.arange(5)[None, :, None] < 3
    ours, theirs = both()
    np.testing.assert_allclose(ours(x, mask=mask), theirs(x, mask=mask), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.var[...], theirs.var[...], rtol=1e-6)
    ours, theirs = both(axis_name="devices", use_running_average=False)
    split = x.reshape(2, 2, 5, 3)
    results = [
        jax.vmap(lambda part, norm=norm: nnx.merge(*nnx.split(norm), copy=True)(part), axis_name="devices")(split)
        for norm in (ours, theirs)
    ]
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-6)


def test_batch_norm_without_scale_or_bias_and_over_another_axis(random):
    x = jnp.asarray(random.normal(size=(4, 3, 5)), jnp.float32)
    for options in ({"use_scale": False, "axis": 1}, {"use_bias": False, "axis": 1}, {"axis": 1}):
        ours, theirs = both(**options)
        np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mean", [0.0, 10.0, 1e3, 1e4, -1e5])
def test_batch_norm_far_from_zero(mean, random):
    """The statistics and the gradient of a map whose values differ little, beside float64's."""
    x = jnp.asarray(mean + random.normal(size=(64, 8, 3)), jnp.float32)
    norm, weights = BatchNorm(3, rngs=nnx.Rngs(0), momentum=0.0), jnp.asarray(random.normal(size=x.shape), jnp.float32)
    exact = np.asarray(x, np.float64)
    deviation = exact.std((0, 1))
    norm(x)
    np.testing.assert_allclose(np.sqrt(norm.var[...]), deviation, rtol=1e-3)
    np.testing.assert_allclose(norm(x), (exact - exact.mean((0, 1))) / deviation, atol=2e-6 * max(abs(mean), 10) + 1e-3)
    gradient = jax.grad(lambda x: (nnx.merge(*nnx.split(norm), copy=True)(x) * weights).sum())(x)
    g, n = np.asarray(weights, np.float64), (exact - exact.mean((0, 1))) / deviation
    expected = (g - g.mean((0, 1)) - n * (g * n).mean((0, 1))) / deviation
    np.testing.assert_allclose(gradient, expected, atol=3e-6 * max(abs(mean), 10) + 1e-3)


SHARDED = """
import jax
jax.config.update("jax_num_cpu_devices", 2)
import jax.numpy as jnp, numpy as np
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from strideflax import DOWNSAMPLERS, downsampler

mesh = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Explicit,))
x = np.random.default_rng(0).normal(size=(4, 8, 8, 2)).astype(np.float32)
for name in DOWNSAMPLERS:
    operator = downsampler(name)(2, rngs=nnx.Rngs(0))
    alone = jax.jit(operator.__call__)(x)
    with jax.set_mesh(mesh):
        sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec("batch")))
        graph, state = nnx.split(operator)
        state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
        y = jax.jit(lambda state, x: nnx.merge(graph, state)(x))(state, sharded)
        assert "batch" in str(jax.typeof(y).sharding.spec), name
    np.testing.assert_allclose(y, alone, rtol=1e-5, atol=1e-5, err_msg=name)
print("all", len(DOWNSAMPLERS))
"""


def test_every_operator_on_an_explicit_mesh():
    done = subprocess.run(
        [sys.executable, "-c", SHARDED], capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["all", str(len(DOWNSAMPLERS))]
