import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads
from operators import reference

from strideflax import avg_pool, gated_pool, max_avg_pool, max_pool, mixed_pool
from strideflax.operators.mixed import GatedPool, MaxAvg, MixedPool


def mixture(x, window, stride, padding, dilation, share):
    """share * max + (1 - share) * mean; ``share`` is a number, or a function of the windows' pixels."""
    pixels, real = reference.windows(x, window, stride, padding, dilation)
    share = share(pixels) if callable(share) else share
    return share * np.where(real, pixels, -np.inf).max(-2) + (1 - share) * pixels.sum(-2) / real.sum(-2)


# Values


@pytest.mark.parametrize(("size", "window", "stride", "padding", "dilation"), reference.WINDOW_CASES)
def test_pools_are_their_definitions(size, window, stride, padding, dilation, random, float64):
    x, mask = random.normal(size=(2, *size, 3)), random.normal(size=window)
    geometry = {"stride": stride, "padding": padding, "dilation": dilation}

    def expected(share):
        return mixture(x, window, stride, padding, dilation, share)

    def gate(pixels):
        return 1 / (1 + np.exp(-np.einsum("...tc,t->...c", pixels, mask.ravel())))

    np.testing.assert_allclose(max_avg_pool(x, window, **geometry), 2 * expected(0.5), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(mixed_pool(x, window, 0.3, **geometry), expected(0.3), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(gated_pool(x, window, mask, **geometry), expected(gate), rtol=1e-12, atol=1e-14)


def test_hand_computed():
    x = jnp.array([[1.0, 2.0], [3.0, 6.0]])[None, ..., None]  # maximum 6, mean 3
    assert max_avg_pool(x, 2) == 9
    assert mixed_pool(x, 2, 0.25) == 3.75
    mask = jnp.array([[3.0, 0.0], [-1.0, 0.0]])  # 3 * 1 - 1 * 3 = 0, so the gate is half open
    assert gated_pool(x, 2, mask) == 4.5
    mask = jnp.array([[0.0, np.log(3) / 2], [0.0, 0.0]])  # sigmoid(log 3) = 3/4
    np.testing.assert_allclose(gated_pool(x, 2, mask), 0.75 * 6 + 0.25 * 3, rtol=1e-6)


def test_the_gate_reads_the_window_in_its_own_order_and_channel():
    x = jnp.zeros((1, 2, 3, 2)).at[0, 1, 0, 1].set(8.0)
    open_gate = jnp.zeros((2, 3)).at[1, 0].set(100.0)
    np.testing.assert_allclose(gated_pool(x, (2, 3), open_gate)[0, 0, 0], [0, 8], rtol=1e-6)
    shut_gate = -open_gate
    np.testing.assert_allclose(gated_pool(x, (2, 3), shut_gate)[0, 0, 0], [0, 8 / 6], rtol=1e-6)


def test_the_ends_and_the_middle_of_the_mixture(random):
    x = jnp.asarray(random.normal(size=(2, 5, 4, 3)), jnp.float32)
    geometry = {"stride": 2, "padding": "SAME"}
    strongest, mean = max_pool(x, 3, **geometry), avg_pool(x, 3, **geometry)
    np.testing.assert_array_equal(mixed_pool(x, 3, 1, **geometry), strongest)
    np.testing.assert_array_equal(mixed_pool(x, 3, 0, **geometry), mean)
    np.testing.assert_array_equal(gated_pool(x, 3, jnp.zeros((3, 3)), **geometry), (strongest + mean) / 2)


def test_constants_and_negative_maps_at_the_border():
    x = jnp.full((1, 5, 5, 1), -3.0)  # a zero of the padding would be the maximum, and would lift the mean
    geometry = {"stride": 2, "padding": "SAME"}
    np.testing.assert_allclose(mixed_pool(x, 3, 0.4, **geometry), -3, rtol=1e-6)
    np.testing.assert_allclose(gated_pool(x, 3, jnp.ones((3, 3)), **geometry), -3, rtol=1e-6)
    np.testing.assert_allclose(max_avg_pool(x, 3, **geometry), -6, rtol=1e-6)


def test_bfloat16_rounds_once(random):
    x = jnp.asarray(random.normal(size=(2, 6, 6, 3)), jnp.bfloat16)
    mask = jnp.asarray(random.normal(size=(3, 3)), jnp.float32)
    for pool in (max_avg_pool, lambda x, k: mixed_pool(x, k, jnp.float32(0.3)), lambda x, k: gated_pool(x, k, mask)):
        assert pool(x, 3).dtype == jnp.bfloat16
        np.testing.assert_array_equal(pool(x, 3), pool(x.astype(jnp.float32), 3).astype(jnp.bfloat16))


# Gradients


def test_gradients_against_differences(random, float64):
    x, mask = random.normal(size=(1, 5, 4, 2)), random.normal(size=(2, 3))
    geometry = {"stride": (2, 1), "padding": "SAME"}
    check_grads(lambda x, share: mixed_pool(x, (2, 3), share, **geometry), (x, 0.3), order=1, modes=["rev"])
    check_grads(lambda x, mask: gated_pool(x, (2, 3), mask, **geometry), (x, mask), order=1, modes=["rev"])
    check_grads(lambda x: max_avg_pool(x, (2, 3), **geometry), (x,), order=1, modes=["rev"])


# Modules


@pytest.mark.parametrize("padding", ["SYMMETRIC", "CIRCULAR"])
def test_modules_are_their_functions(padding, random):
    x = jnp.asarray(random.normal(size=(2, 7, 6, 3)), jnp.float32)
    rule = ((1, 1), (1, 1)) if padding == "SYMMETRIC" else padding
    both, mixed, gated = (cls(3, window=3, padding=padding) for cls in (MaxAvg, MixedPool, GatedPool))
    np.testing.assert_array_equal(both(x), max_avg_pool(x, 3, stride=2, padding=rule))
    np.testing.assert_allclose(2 * mixed(x), both(x), rtol=1e-6, atol=1e-6)  # a = 1/2 at first
    np.testing.assert_allclose(2 * gated(x), both(x), rtol=1e-6, atol=1e-6)
    mixed.logit[...] = jnp.log(3.0)
    np.testing.assert_allclose(mixed(x), mixed_pool(x, 3, 0.75, stride=2, padding=rule), rtol=1e-5, atol=1e-6)
    gated.mask[...] = mask = jnp.asarray(random.normal(size=(3, 3)), jnp.float32)
    np.testing.assert_array_equal(gated(x), gated_pool(x, 3, mask, stride=2, padding=rule))
    for module in (both, mixed, gated):
        np.testing.assert_allclose(module.dense(x)[:, ::2, ::2], module(x), rtol=1e-6)


def test_the_mixture_is_learned_and_stays_between_its_ends(random):
    x = jnp.asarray(random.normal(size=(2, 4, 4, 3)), jnp.float32)
    for module in (MixedPool(3), GatedPool(3)):
        graph, parameters = nnx.split(module)
        gradients = jax.grad(lambda parameters, graph=graph: nnx.merge(graph, parameters)(x).sum())(parameters)
        assert all((g != 0).all() for g in jax.tree.leaves(gradients))
        far = nnx.merge(graph, jax.tree.map(lambda p: p + 5, parameters))(x)
        assert (far >= avg_pool(x, 2) - 1e-6).all()
        assert (far <= max_pool(x, 2) + 1e-6).all()


def test_stages_count_every_pass_over_the_window_and_move_nothing():
    counts = {}
    for cls in (MaxAvg, MixedPool, GatedPool):
        pool = cls(4, stride=(2, 1), window=(3, 2))
        first, second = pool.passes((8, 8))
        assert second.output_size(first.output_size((8, 8))) == (4, 8)
        assert pool.phase((8, 8)) == (0, 0.5)
        counts[cls] = first.macs((8, 8)) + second.macs((4, 8))
    assert counts == {MaxAvg: 2 * 6 * 4 * 8 * 4, MixedPool: 2 * 6 * 4 * 8 * 4, GatedPool: 3 * 6 * 4 * 8 * 4}


# Errors


def test_errors_say_what_was_expected():
    x = jnp.ones((1, 4, 4, 1))
    with pytest.raises(ValueError, match=r"share must be a scalar, got shape \(2,\)"):
        mixed_pool(x, 2, jnp.ones(2))
    with pytest.raises(ValueError, match=r"mask must be as large as the window, shape \(2, 2\), got shape \(3, 3\)"):
        gated_pool(x, 2, jnp.ones((3, 3)))
    with pytest.raises(ValueError, match=r"padding REFLECT needs a border of 1 .* use SAME or SYMMETRIC"):
        GatedPool(1, padding="REFLECT")(jnp.ones((1, 1, 1, 1)))
    with pytest.raises(ValueError, match=r"empty output: a window of extent 5 does not fit in size 4"):
        max_avg_pool(x, 5)
