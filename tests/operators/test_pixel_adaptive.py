import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads
from operators import reference

from strideflax import avg_pool, pixel_adaptive_pool
from strideflax.operators import PASA


def adaptive_means(x, kernel, bias, stride, padding):
    """Predict, normalise and add up, one group after the other."""
    taps = np.prod(kernel.shape[:-2])
    ones = (1,) * len(stride)
    logits = reference.conv(x, kernel, stride, padding, ones) + bias
    pixels, real = reference.windows(x, kernel.shape[:-2], stride, padding, ones)
    groups = kernel.shape[-1] // taps
    each = x.shape[-1] // groups
    y = np.zeros((*logits.shape[:-1], x.shape[-1]))
    for g in range(groups):
        weights = np.where(real[..., 0], np.exp(logits[..., g * taps : (g + 1) * taps]), 0)
        weights /= weights.sum(-1, keepdims=True)
        y[..., g * each : (g + 1) * each] = (weights[..., None] * pixels[..., g * each : (g + 1) * each]).sum(-2)
    return y


CASES = [
    ((6, 5), (3, 3), (2, 2), "REFLECT", 2),
    ((6, 5), (3, 2), (2, 1), "SAME", 4),
    ((7,), (3,), (2,), "CIRCULAR", 1),
    ((4, 3, 4), (2, 3, 2), (2, 2, 2), "SYMMETRIC", 2),
]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("size", "window", "stride", "padding", "groups"), CASES)
def test_it_is_its_definition(size, window, stride, padding, groups, random):
    x = random.normal(size=(2, *size, 4))
    weights = groups * int(np.prod(window))
    kernel, bias = random.normal(size=(*window, 4, weights)), random.normal(size=weights)
    y = pixel_adaptive_pool(x, kernel, bias, stride=stride, padding=padding)
    expected = adaptive_means(x, kernel, bias, stride, padding)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("float64")
def test_gradients_against_differences(random):
    x, kernel, bias = (random.normal(size=shape) for shape in ((1, 4, 5, 2), (3, 3, 2, 9), (9,)))
    pool = jax.jit(lambda x, kernel, bias: pixel_adaptive_pool(x, kernel, bias, padding="SAME"))
    check_grads(pool, (x, kernel, bias), order=1, modes=["rev"])


def test_equal_weights_are_the_average_and_a_constant_stays(random):
    x = jnp.asarray(random.normal(size=(2, 6, 6, 4)), jnp.float32)
    y = pixel_adaptive_pool(x, jnp.zeros((3, 3, 4, 9)), jnp.zeros(9), padding="SYMMETRIC")
    np.testing.assert_allclose(y, avg_pool(x, 3, stride=2, padding="SYMMETRIC"), rtol=1e-5, atol=1e-6)
    for padding, features in itertools.product(("REFLECT", "SYMMETRIC"), (1, 4)):
        layer = PASA(features, padding=padding, rngs=nnx.Rngs(0))
        np.testing.assert_allclose(layer(jnp.full((1, 5, 6, features), 3.0)), 3.0, rtol=1e-5)


def test_the_module_samples_a_dense_map_with_as_many_groups_as_it_can(random):
    x = jnp.asarray(random.normal(size=(2, 6, 6, 12)), jnp.float32)
    layer = PASA(12, rngs=nnx.Rngs(0))
    assert layer.groups == 4
    assert layer.kernel.shape == (3, 3, 12, 36)
    y = pixel_adaptive_pool(x, layer.kernel[...], layer.bias[...])
    np.testing.assert_array_equal(layer(x), y)
    np.testing.assert_allclose(layer.dense(x)[:, ::2, ::2], y, rtol=1e-5, atol=1e-6)
    (one,) = layer.passes((6, 6))
    assert one.macs((6, 6)) == 9 * 12 * (9 + 9 * 36)
    assert layer.phase((6, 6)) == (0, 0)


@pytest.mark.parametrize(
    ("kernel", "bias"), [((3, 3, 4, 10), 10), ((3, 3, 2, 9), 9), ((3, 3, 4, 27), 27), ((3, 4, 3), 3), ((3, 3, 4, 9), 8)]
)
def test_kernels_that_do_not_fit_are_refused(kernel, bias):
    with pytest.raises(
        ValueError, match=r"kernel must be \[\*window, channels, groups \* taps\] and bias .* got shapes"
    ):
        pixel_adaptive_pool(jnp.ones((1, 6, 6, 4)), jnp.ones(kernel), jnp.ones(bias))
