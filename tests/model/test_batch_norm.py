import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from strideflax.model import batch_norm
from strideflax.model.batch_norm import BatchNorm, normalized

AXES = (0, 1, 2)


def plain(x, scale, bias, epsilon=1e-5):
    """Return the definition, for JAX to differentiate."""
    centred = x - x.mean(AXES, keepdims=True)
    normal = centred / jnp.sqrt((centred**2).mean(AXES, keepdims=True) + epsilon)
    return normal * scale[None, None, None] + bias[None, None, None]


@pytest.fixture
def arrays(random):
    return random.normal(2, 3, (4, 5, 3, 6)), random.normal(size=6), random.normal(size=6)


@pytest.mark.usefixtures("float64")
def test_values_and_statistics_are_the_definition_s(arrays):
    y, mean, variance = normalized(*arrays, 1e-5)
    np.testing.assert_allclose(y, plain(*arrays), rtol=1e-5, atol=1e-5)  # statistics are float32
    np.testing.assert_allclose(mean, arrays[0].mean(AXES), rtol=1e-6)
    np.testing.assert_allclose(variance, arrays[0].var(AXES), rtol=1e-5)


def test_gradients_are_the_definition_s(arrays, random):
    weight = random.normal(size=arrays[0].shape).astype(np.float32)
    arrays = [a.astype(np.float32) for a in arrays]
    ours = jax.grad(lambda *a: (normalized(*a, 1e-5)[0] * weight).sum(), argnums=(0, 1, 2))(*arrays)
    theirs = jax.grad(lambda *a: (plain(*a) * weight).sum(), argnums=(0, 1, 2))(*arrays)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)


def test_a_second_derivative_is_the_definition_s(arrays, random):
    direction = random.normal(size=arrays[0].shape).astype(np.float32)
    x, scale, bias = (a.astype(np.float32) for a in arrays)

    def curvature(norm):
        slope = jax.grad(lambda x: (norm(x, scale, bias) ** 3).sum())
        return jax.grad(lambda x: (slope(x) * direction).sum())(x)

    expected = curvature(plain)
    ours = curvature(lambda *a: normalized(*a, 1e-5)[0])
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_layer_does_what_flax_s_does(dtype, random):
    ours, theirs = (
        layer(6, momentum=0.8, dtype=jnp.dtype(dtype), rngs=nnx.Rngs(0)) for layer in (BatchNorm, nnx.BatchNorm)
    )
    rounding = {"float32": 2e-5, "bfloat16": 2**-7}[dtype]
    for _ in range(3):
        x = jnp.asarray(random.normal(1, 2, (8, 4, 4, 6)), dtype)
        for average in (False, True):
            one, other = ours(x, use_running_average=average), theirs(x, use_running_average=average)
            assert one.dtype == other.dtype == dtype
            np.testing.assert_allclose(one.astype(np.float32), other.astype(np.float32), rtol=rounding, atol=rounding)
    np.testing.assert_allclose(ours.mean[...], theirs.mean[...], rtol=1e-5)
    np.testing.assert_allclose(ours.var[...], theirs.var[...], rtol=1e-5)


@pytest.mark.parametrize(
    ("statistics", "offset"),
    [
        *[(batch_norm._statistics, offset) for offset in (0.0, 1.0, 100.0, 1e4)],
        *[(batch_norm._statistics_without_a_branch, offset) for offset in (0.0, 1.0, 100.0, 1e4, -3e5)],
    ],
)
def test_statistics_keep_their_digits_however_far_from_zero(statistics, offset, random):
    x = (random.normal(offset, 2, (8, 6, 6, 5))).astype(np.float32)
    mean, variance = jax.jit(statistics)(x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(AXES), rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(variance, exact.var(AXES), rtol=2e-4)


def test_a_constant_map_has_no_variance():
    x = jnp.full((4, 3, 3, 2), 7.5)
    mean, variance = batch_norm._statistics_without_a_branch(x)
    np.testing.assert_array_equal(mean, [7.5, 7.5])
    np.testing.assert_array_equal(variance, [0.0, 0.0])


@pytest.mark.parametrize("shape", [(5, 3), (5, 4, 3), (5, 4, 4, 4, 3)])
def test_any_number_of_spatial_axes(shape, random):
    x = random.normal(2, 3, shape).astype(np.float32)
    for found, expected in zip(batch_norm._statistics_without_a_branch(x), batch_norm._statistics(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
