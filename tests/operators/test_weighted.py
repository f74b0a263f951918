import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads
from operators import reference

from strideflax import avg_pool, local_importance_pool, max_pool, soft_pool, stochastic_pool
from strideflax.operators.weighted import LIP, SoftPool, StochasticPool


def weighted_mean(pixels, weights, real):
    weights = np.where(real, weights, 0)
    return (weights * pixels).sum(-2) / weights.sum(-2)


def image(*rows):
    return jnp.array(rows, jnp.float32)[None, ..., None]


# SoftPool and LIP: values


@pytest.mark.parametrize(("size", "window", "stride", "padding", "dilation"), reference.WINDOW_CASES)
def test_weighted_means_are_their_definitions(size, window, stride, padding, dilation, random, float64):
    x, logits = random.normal(size=(2, 2, *size, 3))
    geometry = {"stride": stride, "padding": padding, "dilation": dilation}
    pixels, real = reference.windows(x, window, stride, padding, dilation)
    importance, _ = reference.windows(logits, window, stride, padding, dilation)
    soft, lip = (weighted_mean(pixels, np.exp(g), real) for g in (pixels, importance))
    np.testing.assert_allclose(soft_pool(x, window, **geometry), soft, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(local_importance_pool(x, logits, window, **geometry), lip, rtol=1e-11, atol=1e-13)
    positive = np.maximum(pixels, 0)
    expected = np.divide((positive**2).sum(-2), s := positive.sum(-2), out=np.zeros(s.shape), where=s > 0)
    np.testing.assert_allclose(stochastic_pool(x, window, **geometry), expected, rtol=1e-11, atol=1e-13)


def test_hand_computed():
    x = image([0, np.log(3)])  # softmax weights 1/4 and 3/4
    np.testing.assert_allclose(soft_pool(x, (1, 2))[0, 0, 0], [0.75 * np.log(3)], rtol=1e-6)
    logits = image([np.log(3), 0])
    np.testing.assert_allclose(local_importance_pool(x, logits, (1, 2))[0, 0, 0], [0.25 * np.log(3)], rtol=1e-6)
    # 1/6 * 1 + 2/6 * 2 + 3/6 * 3 = 14/6, where the plain mean is 3/2
    np.testing.assert_allclose(stochastic_pool(image([0, 1], [2, 3]), 2)[0, 0, 0], [14 / 6], rtol=1e-6)


def test_softmax_is_per_channel_and_per_window():
    x = jnp.zeros((1, 2, 4, 2)).at[0, :, 2:, 0].set(50.0)  # a strong neighbour, in another channel and another window
    np.testing.assert_array_equal(soft_pool(x, 2)[0, 0], [[0, 0], [50, 0]])


def test_between_average_and_maximum(random, float64):
    x = random.normal(size=(2, 5, 6, 3))
    geometry = {"stride": 2, "padding": "SAME"}
    mean, strongest = avg_pool(x, 3, **geometry), max_pool(x, 3, **geometry)
    np.testing.assert_allclose(local_importance_pool(x, 0 * x + 7, 3, **geometry), mean, rtol=1e-12)
    np.testing.assert_allclose(local_importance_pool(x, 1e6 * x, 3, **geometry), strongest, rtol=1e-12)
    np.testing.assert_allclose(soft_pool(x + 100, 3, **geometry), soft_pool(x, 3, **geometry) + 100, rtol=1e-12)


def test_a_constant_stays_that_constant_at_the_border_too():
    for value in (-3.0, 3.0):  # beside -3 a zero of the padding would weigh e^3 times as much
        x = jnp.full((1, 5, 5, 1), value)
        np.testing.assert_allclose(soft_pool(x, 3, stride=2, padding="SAME"), value, rtol=1e-6)
    for key in (None, jax.random.key(0)):
        np.testing.assert_allclose(stochastic_pool(x, 3, key=key, stride=2, padding="SAME"), 3, rtol=1e-6)


def test_exponentials_do_not_overflow():
    x = image([1e4, 1e4 - 1], [-1e30, 0])
    assert soft_pool(x, 2) == pytest.approx(1e4 - 1 / (np.e + 1), rel=1e-6)
    assert np.isfinite(jax.grad(lambda x: soft_pool(x, 2).sum())(x)).all()


def test_bfloat16_rounds_once(random):
    x = jnp.asarray(random.normal(size=(2, 6, 6, 3)), jnp.bfloat16)
    for pool in (soft_pool, stochastic_pool, lambda x, k: local_importance_pool(x, 2 * x, k)):
        assert pool(x, 3).dtype == jnp.bfloat16
        np.testing.assert_array_equal(pool(x, 3), pool(x.astype(jnp.float32), 3).astype(jnp.bfloat16))


# Stochastic pooling


def counts_of_picks(window, shape=(2, 2), windows=4096):
    """Pick once from each of many copies of ``window``; return how often each entry (all differ) was picked."""
    copies = jnp.asarray(window, jnp.float32).reshape(1, *shape, 1).repeat(windows, 0)
    picks = stochastic_pool(copies, shape, key=jax.random.key(7)).ravel()
    return np.array([(picks == v).sum() for v in window])


def test_picks_follow_the_probabilities():
    counts, expected = counts_of_picks([1, 2, 3, 4]), 4096 * np.array([1, 2, 3, 4]) / 10
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert counts.sum() == 4096
    assert chi_square < 16.27  # the 99.9 % point of three degrees of freedom


def test_only_positive_values_are_picked():
    counts = counts_of_picks([0, -5, 1, 3])
    assert counts.tolist()[:2] == [0, 0]
    assert counts.sum() == 4096
    assert abs(counts[3] - 3072) < 4 * np.sqrt(4096 * 3 / 16)  # four standard deviations of the binomial


def test_padding_is_never_picked():
    picks = stochastic_pool(jnp.full((64, 3, 3, 4), 1e-3), 3, key=jax.random.key(0), stride=2, padding="SAME")
    np.testing.assert_array_equal(picks, np.full((64, 2, 2, 4), 1e-3, np.float32))


def test_picks_differ_between_windows_and_keys_and_repeat_with_the_key(random):
    x = jnp.asarray(random.uniform(1, 2, size=(1, 16, 16, 8)), jnp.float32)
    first, again = (stochastic_pool(x, 2, key=jax.random.key(0)) for _ in range(2))
    other = stochastic_pool(x, 2, key=jax.random.key(1))
    np.testing.assert_array_equal(first, again)
    assert 0.6 < (first != other).mean() < 0.9  # four nearly equal pixels: 3/4


def test_the_gradient_of_a_pick_flows_to_the_picked_pixel(random):
    x = jnp.asarray(random.normal(size=(2, 6, 6, 3)), jnp.float32)
    picks, back = jax.vjp(lambda x: stochastic_pool(x, 2, key=jax.random.key(3)), x)
    (gradient,) = back(jnp.ones_like(picks))
    at = gradient != 0
    np.testing.assert_array_equal(gradient, at)
    np.testing.assert_array_equal((at * x).reshape(2, 3, 2, 3, 2, 3).sum((2, 4)), picks)
    np.testing.assert_array_equal(at.reshape(2, 3, 2, 3, 2, 3).sum((2, 4)), picks > 0)


def test_a_window_without_positive_values_gives_zero_with_gradient_zero():
    x = image([0, 0, -1, -2], [0, 0, -3, -4])
    for key in (None, jax.random.key(0)):
        y, gradient = jax.value_and_grad(lambda x, key=key: stochastic_pool(x, 2, key=key).sum())(x)
        assert y == 0
        np.testing.assert_array_equal(gradient, np.zeros(x.shape))


# Gradients


def test_gradients_against_differences(random, float64):
    x, logits = random.normal(size=(2, 1, 5, 4, 2))
    geometry = {"stride": (2, 1), "padding": "SAME"}
    check_grads(lambda x: soft_pool(x, (2, 3), **geometry), (x,), order=1, modes=["rev"])
    check_grads(lambda x: stochastic_pool(x, (2, 3), **geometry), (np.abs(x),), order=1, modes=["rev"])
    lip = lambda x, logits: local_importance_pool(x, logits, (2, 3), **geometry)  # noqa: E731
    check_grads(lip, (x, logits), order=1, modes=["rev"])


# Modules


@pytest.mark.parametrize("padding", ["SYMMETRIC"])
def test_modules_are_their_functions(padding, random):
    x = jnp.asarray(random.normal(size=(2, 7, 6, 3)), jnp.float32)
    geometry = {"stride": 2, "padding": ((1, 1), (1, 1)) if padding == "SYMMETRIC" else padding}
    soft, picking, lip = (
        cls(3, window=3, padding=padding, rngs=nnx.Rngs(0)) for cls in (SoftPool, StochasticPool, LIP)
    )
    np.testing.assert_array_equal(soft(x), soft_pool(x, 3, **geometry))
    np.testing.assert_array_equal(picking(x), stochastic_pool(x, 3, **geometry))
    lip.scale[...] = jnp.ones(3)
    np.testing.assert_array_equal(lip(x), local_importance_pool(x, lip.logits(x), 3, **geometry))
    for module in (soft, picking, lip):
        np.testing.assert_allclose(module.dense(x)[:, ::2, ::2], module(x), rtol=1e-6, atol=1e-6)


def test_stochastic_module_picks_in_training_alone(random):
    x, pool = jnp.asarray(random.uniform(size=(2, 4, 4, 3)), jnp.float32), StochasticPool(3)
    expected = stochastic_pool(x, 2, key=jax.random.key(5))
    np.testing.assert_array_equal(pool(x, train=True, key=jax.random.key(5)), expected)
    np.testing.assert_array_equal(pool(x, key=jax.random.key(5)), stochastic_pool(x, 2))
    with pytest.raises(ValueError, match=r"StochasticPool needs a key in training, got None"):
        pool(x, train=True)


def test_lip_starts_as_the_average_pool_and_its_logits_are_as_stated(random, float64):
    x = random.normal(size=(2, 5, 4, 3))
    pool = LIP(3, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(pool(x), avg_pool(x, 2, padding=((0, 1), (0, 1))), rtol=1e-12)
    pool.scale[...], pool.offset[...] = random.normal(size=(2, 3))
    g = x @ np.asarray(pool.conv.kernel[...])[0, 0]
    g = (g - g.mean((1, 2), keepdims=True)) / np.sqrt(g.var((1, 2), keepdims=True) + 1e-5)
    expected = 12 / (1 + np.exp(-(g * np.asarray(pool.scale[...]) + np.asarray(pool.offset[...]))))
    np.testing.assert_allclose(pool.logits(x), expected, rtol=1e-10)


def test_lip_is_finite_on_constant_and_single_pixel_maps():
    pool = LIP(2, rngs=nnx.Rngs(0))
    pool.scale[...] = jnp.ones(2)
    for size in (1, 3):
        x = jnp.full((1, size, size, 2), 1e3)
        np.testing.assert_allclose(pool(x), 1e3, rtol=1e-6)
        assert np.isfinite(jax.grad(lambda x: pool(x).sum())(x)).all()


def test_stages():
    for cls in (SoftPool, StochasticPool):
        (one,) = cls(4, stride=(2, 1), window=3).passes((8, 8))
        assert one.macs((8, 8)) == 3 * 4 * 8 * 4
    lip = LIP(4, rngs=nnx.Rngs(0))
    logits, window = lip.passes((8, 8))
    assert (logits.macs((8, 8)), window.macs((8, 8))) == (8 * 8 * 4 * 4, 4 * 4 * 4 * 4)
    assert lip.phase((8, 8)) == SoftPool(4).phase((8, 8)) == (0.5, 0.5)


# Errors


def test_errors_say_what_was_expected():
    x = jnp.ones((1, 4, 4, 2))
    with pytest.raises(ValueError, match=r"logits must have the shape of x, \(1, 4, 4, 2\), got \(1, 4, 4, 1\)"):
        local_importance_pool(x, x[..., :1], 2)
    with pytest.raises(ValueError, match=r"padding REFLECT needs a border of 1 .* use SAME or SYMMETRIC"):
        SoftPool(2, padding="REFLECT")(x[:, :1, :1])
    with pytest.raises(ValueError, match=r"empty output: a window of extent 5 does not fit in size 4"):
        stochastic_pool(x, 5)
