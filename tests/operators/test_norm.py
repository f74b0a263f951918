import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from operators import reference

from strideflax import avg_pool, generalized_mean_pool, lp_pool, max_pool
from strideflax.operators.norm import GeMPool, L2Pool


def lp_by_definition(x, window, stride, padding, dilation, p):
    pixels, _ = reference.windows(x, window, stride, padding, dilation)
    return (np.abs(pixels) ** p).sum(-2) ** (1 / p)


def gem_by_definition(x, window, stride, padding, dilation, p):
    pixels, real = reference.windows(x, window, stride, padding, dilation)
    return (np.where(real, np.maximum(pixels, 1e-6) ** p, 0).sum(-2) / real.sum(-2)) ** (1 / p)


def image(*rows):
    return jnp.array(rows, jnp.float32)[None, ..., None]


# Values


@pytest.mark.parametrize(("size", "window", "stride", "padding", "dilation"), reference.WINDOW_CASES)
def test_lp_pool_is_the_root_of_the_sum_of_powers(size, window, stride, padding, dilation, random, float64):
    x, p = random.normal(size=(2, *size, 3)), 3.5 if padding == "SAME" else 2
    y = lp_pool(x, window, p=p, stride=stride, padding=padding, dilation=dilation)
    np.testing.assert_allclose(y, lp_by_definition(x, window, stride, padding, dilation, p), rtol=1e-12)


@pytest.mark.parametrize(("size", "window", "stride", "padding", "dilation"), reference.WINDOW_CASES)
def test_generalized_mean_is_the_root_of_the_mean_of_powers(size, window, stride, padding, dilation, random, float64):
    x = random.normal(size=(2, *size, 3))
    for p in (0.5, 3.0):  # one compilation, as p may be traced
        y = generalized_mean_pool(x, window, p, stride=stride, padding=padding, dilation=dilation)
        np.testing.assert_allclose(y, gem_by_definition(x, window, stride, padding, dilation, p), rtol=1e-11)


def test_hand_computed():
    x = image([3, -4, 1], [0, 0, 2])
    np.testing.assert_array_equal(lp_pool(x, 2)[0, ..., 0], [[5]])
    np.testing.assert_array_equal(lp_pool(x, (1, 2), stride=1)[0, 0, 0], [5])
    np.testing.assert_array_equal(lp_pool(x, 2, padding=((0, 0), (0, 1)))[0, ..., 0], [[5, np.float32(5) ** 0.5]])
    np.testing.assert_array_equal(lp_pool(x, 2, p=1)[0, ..., 0], [[7]])
    # GeM, p = 2: the root of (1 + 49) / 2 and of 49 alone, its neighbour being padding
    np.testing.assert_array_equal(
        generalized_mean_pool(image([1, 7, 7]), (1, 2), 2, padding=((0, 0), (0, 1)))[0, 0, :, 0], [5, 7]
    )


def test_one_is_the_average_and_infinity_the_maximum(random, float64):
    x = random.uniform(0.1, 2, size=(2, 7, 6, 3))
    options = {"stride": 2, "padding": "SAME"}
    np.testing.assert_allclose(generalized_mean_pool(x, 3, 1, **options), avg_pool(x, 3, **options), rtol=1e-12)
    strongest = max_pool(x, 3, **options)
    p = 1e3
    gem, lp = generalized_mean_pool(x, 3, p, **options), lp_pool(x, 3, p=p, **options)
    np.testing.assert_allclose(gem, strongest, rtol=np.log(9) / p)  # max * 9^(-1/p) <= GeM <= max
    np.testing.assert_allclose(lp, strongest, rtol=1.1 * np.log(9) / p)  # max <= Lp <= max * 9^(1/p)


def test_constants():
    x = jnp.full((1, 5, 5, 2), 3.0)
    np.testing.assert_allclose(generalized_mean_pool(x, 3, 3.0, stride=2, padding="SAME"), 3, rtol=1e-6)
    np.testing.assert_allclose(lp_pool(x, 2, stride=1), 6, rtol=1e-6)  # the root of 4 * 9


# Ranges of numbers


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_no_power_overflows_or_vanishes(scale):
    x = image([3, 4], [0, 0]) * scale
    np.testing.assert_allclose(lp_pool(x, 2), 5 * scale, rtol=1e-6)
    np.testing.assert_allclose(lp_pool(x, 2, p=8), (3.0**8 + 4.0**8) ** (1 / 8) * scale, rtol=1e-6)
    gem = generalized_mean_pool(x, 2, 8.0, eps=1e-38)
    np.testing.assert_allclose(gem, ((3.0**8 + 4.0**8) / 4) ** (1 / 8) * scale, rtol=1e-6)


def test_bfloat16_rounds_once(random):
    x = jnp.asarray(np.abs(random.normal(size=(2, 6, 6, 3))), jnp.bfloat16)
    for pool in (lambda x: lp_pool(x, 3, stride=2), lambda x: generalized_mean_pool(x, 3, 3.0, stride=2)):
        assert pool(x).dtype == jnp.bfloat16
        np.testing.assert_array_equal(pool(x), pool(x.astype(jnp.float32)).astype(jnp.bfloat16))


# Gradients


def test_gradients_against_differences(random, float64):
    x = random.normal(size=(1, 5, 4, 2))
    check_grads(lambda x: lp_pool(x, 3, p=3, stride=2, padding="SAME"), (x,), order=1, modes=["rev"])
    positive = np.abs(x) + 0.1

    def gem(x, p):
        return generalized_mean_pool(x, (2, 3), p, stride=(1, 2), padding="SAME")

    check_grads(gem, (positive, 3.0), order=1)


@pytest.mark.parametrize("p", [1, 2, 2.5])
def test_the_gradient_of_zeros_is_zero_and_of_a_lone_pixel_one(p):
    x = image([0, 0, 5, 0], [0, 0, 0, 0])
    gradient = jax.grad(lambda x: lp_pool(x, 2, p=p).sum())(x)
    np.testing.assert_allclose(gradient[0, ..., 0], [[0, 0, 1, 0], [0, 0, 0, 0]], atol=1e-7)


def test_generalized_mean_of_zeros_is_its_floor_with_finite_gradients():
    x = jnp.zeros((1, 4, 4, 1))
    y, gradients = jax.value_and_grad(lambda x, p: generalized_mean_pool(x, 2, p).sum(), argnums=(0, 1))(x, 3.0)
    np.testing.assert_allclose(y, 4e-6, rtol=1e-6)
    assert all(np.isfinite(g).all() for g in gradients)


# Modules


@pytest.mark.parametrize("padding", ["SYMMETRIC", "SAME", "REFLECT"])
def test_modules_are_their_functions(padding, random, float64):
    x = np.abs(random.normal(size=(2, 7, 6, 3)))
    rule = ((1, 1), (1, 1)) if padding == "SYMMETRIC" else padding
    norm, gem = (cls(3, stride=2, window=3, padding=padding) for cls in (L2Pool, GeMPool))
    np.testing.assert_array_equal(norm(x), lp_pool(x, 3, stride=2, padding=rule))
    np.testing.assert_allclose(gem(x), generalized_mean_pool(x, 3, 3.0, stride=2, padding=rule), rtol=1e-12)
    for module in (norm, gem):
        assert module(x).shape == (2, 4, 3, 3)
        np.testing.assert_allclose(module.dense(x)[:, ::2, ::2], module(x), rtol=1e-12)


def test_stages():
    pool = GeMPool(4, stride=(2, 1))
    (one,) = pool.passes((8, 8))
    assert pool.window == (2, 1)
    assert one.output_size((8, 8)) == (4, 8)
    assert one.macs((8, 8)) == 2 * 4 * 8 * 4
    assert pool.phase((8, 8)) == (0.5, 0)


def test_the_exponent_is_learned_and_positive(random):
    pool = GeMPool(2)
    assert np.exp(pool.log_p[...]) == pytest.approx(3, rel=1e-6)
    x = jnp.asarray(np.abs(random.normal(size=(1, 4, 4, 2))), jnp.float32)
    pool.log_p[...] = jnp.asarray(0.0)
    np.testing.assert_allclose(pool(x), avg_pool(x, 2), rtol=1e-5)
    pool.log_p[...] = jnp.asarray(-3.0)
    assert (pool(x) <= avg_pool(x, 2)).all()


# Errors


@pytest.mark.parametrize("p", [0.5, 0, -1, float("inf"), float("nan"), "2"])
def test_lp_pool_names_the_exponents_it_has(p):
    with pytest.raises(ValueError, match=r"p must be a finite number >= 1, got"):
        lp_pool(jnp.ones((1, 4, 4, 1)), 2, p=p)


@pytest.mark.parametrize("p", [0, -1.0, float("inf"), float("nan"), jnp.ones(2)])
def test_generalized_mean_needs_a_positive_scalar(p):
    with pytest.raises(ValueError, match=r"p must be a finite scalar > 0, got"):
        generalized_mean_pool(jnp.ones((1, 4, 4, 1)), 2, p)


def test_generalized_mean_needs_a_positive_floor():
    with pytest.raises(ValueError, match=r"eps must be a finite number > 0, got 0"):
        generalized_mean_pool(jnp.ones((1, 4, 4, 1)), 2, 3.0, eps=0)


def test_a_map_too_small_is_told_what_to_use():
    with pytest.raises(ValueError, match=r"padding REFLECT needs a border of 1 .* use SAME or SYMMETRIC"):
        L2Pool(1, padding="REFLECT")(jnp.ones((1, 1, 1, 1)))
    with pytest.raises(ValueError, match=r"empty output: a window of extent 3 .* smaller window"):
        generalized_mean_pool(jnp.ones((1, 2, 2, 1)), 3, 3.0)


def test_what_is_not_finite_stays_visible():
    x = jnp.array([jnp.nan, 1.0, jnp.inf, 1.0]).reshape(1, 4, 1)
    found = lp_pool(x, 2)[0, :, 0]
    assert jnp.isnan(found[0])
    assert found[1] == jnp.inf
