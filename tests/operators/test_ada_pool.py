import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from operators import reference

from strideflax import ada_pool, avg_pool, soft_pool
from strideflax.operators import AdaPool


def mixture(x, window, share, stride, padding, dilation):
    """The formula of the docstring, one window's pixels beside each other."""
    pixels, real = reference.windows(x, window, stride, padding, dilation)
    mean = pixels.sum(-2, keepdims=True) / real.sum(-2, keepdims=True)
    dice = 2 * pixels * mean / (pixels**2 + mean**2)
    similar, soft = np.where(real, np.exp(dice), 0), np.where(real, np.exp(pixels), 0)
    first, second = ((w * pixels).sum(-2) / w.sum(-2) for w in (similar, soft))
    return share * first + (1 - share) * second


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("size", "window", "stride", "padding", "dilation"), reference.WINDOW_CASES)
def test_it_is_its_definition(size, window, stride, padding, dilation, random):
    x = random.normal(size=(2, *size, 3))
    share = random.uniform(size=3)
    y = ada_pool(x, window, share, stride=stride, padding=padding, dilation=dilation)
    expected = mixture(x, window, share, stride, padding, dilation)
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-13)


def test_by_hand():
    """1 and 3 have the mean 2: Dice coefficients 4/5 and 12/13."""
    x = jnp.array([1.0, 3.0]).reshape(1, 2, 1)
    first, second = np.exp(4 / 5), np.exp(12 / 13)
    assert ada_pool(x, 2, 1.0).item() == pytest.approx((first + 3 * second) / (first + second), rel=1e-6)
    assert ada_pool(x, 2, 0.0).item() == pytest.approx(soft_pool(x, 2).item(), rel=1e-6)


def test_zeros_and_opposite_signs_count_for_less_than_in_the_average():
    for odd in (0.0, -1.0):
        x = jnp.array([5.0, 5.0, 5.0, odd]).reshape(1, 2, 2, 1)
        assert ada_pool(x, 2, 1.0).item() > avg_pool(x, 2).item()


def test_a_share_per_region(random):
    x = jnp.asarray(random.normal(size=(2, 4, 6, 3)), jnp.float32)
    regions = jnp.asarray(random.uniform(size=(2, 3, 1)), jnp.float32)
    share = regions[None]
    expected = share * ada_pool(x, 2, 1.0) + (1 - share) * ada_pool(x, 2, 0.0)
    np.testing.assert_allclose(ada_pool(x, 2, regions), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(
        ValueError, match=r"share must broadcast to the result's shape \(2, 2, 3, 3\), got shape \(2,\)"
    ):
        ada_pool(x, 2, jnp.ones(2))


@pytest.mark.usefixtures("float64")
def test_gradients_against_differences(random):
    x, share = random.normal(size=(1, 5, 4, 2)), random.uniform(size=2)
    pool = jax.jit(lambda x, share: ada_pool(x, (2, 3), share, stride=(2, 1), padding="SAME"))
    check_grads(pool, (x, share), order=1, modes=["rev"])


def test_opposite_pixels_and_zeros_have_numbers():
    x = jnp.array([1.0, -1.0, 0.0, 0.0]).reshape(1, 2, 2, 1)  # a mean of 0: all count the same
    value, gradient = jax.value_and_grad(lambda x: ada_pool(x, 2, 1.0).sum())(x)
    assert value == 0
    assert np.isfinite(gradient).all()


def test_the_module_is_the_function_and_learns_its_shares(random):
    x = jnp.asarray(random.normal(size=(2, 6, 6, 3)), jnp.float32)
    layer = AdaPool(3)
    np.testing.assert_array_equal(layer(x), ada_pool(x, 2, jnp.full(3, 0.5)))
    layer.logit[...] = jnp.array([-3.0, 0.0, np.log(9)])
    share = jnp.array([1 / (1 + np.exp(3)), 0.5, 0.9], jnp.float32)
    np.testing.assert_allclose(layer(x), ada_pool(x, 2, share), rtol=1e-5, atol=1e-6)
    (one,) = layer.passes((6, 6))
    assert one.macs((6, 6)) == 9 * 8 * 3
