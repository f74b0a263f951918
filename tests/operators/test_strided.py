import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from operators import reference

from strideflax.operators.strided import ConvPool, StridedConv, Subsample


def images(random, *shape):
    return jnp.asarray(random.normal(size=shape), jnp.float32)


def test_strided_conv_is_a_strided_convolution_with_centred_padding(random):
    x = images(random, 2, 7, 8, 3)
    for window, padding, pads in [
        (3, "SYMMETRIC", 1), ((2, 5), "SYMMETRIC", ((0, 1), 2)), (3, "REFLECT", "REFLECT"),
    ]:  # fmt: skip
        layer = StridedConv(3, 5, stride=2, window=window, padding=padding, rngs=nnx.Rngs(0))
        kernel = np.asarray(layer.kernel[...])
        assert kernel.shape == (*((window, window) if isinstance(window, int) else window), 3, 5)
        expected = reference.conv(np.asarray(x), kernel, (2, 2), pads, (1, 1))
        np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_kernels_start_normal_with_variance_2_over_fan_in():
    kernel = np.asarray(StridedConv(64, 128, rngs=nnx.Rngs(0)).kernel[...])
    deviation = np.sqrt(2 / (3 * 3 * 64))
    assert kernel.std() == pytest.approx(deviation, rel=0.02)
    assert abs(kernel.mean()) < deviation * 0.02
    assert np.abs(kernel).max() > 3.5 * deviation  # not cut off


def test_strided_conv_computes_in_its_input_s_type_over_a_float32_kernel():
    layer = StridedConv(2, 3, rngs=nnx.Rngs(0))
    assert layer.kernel[...].dtype == jnp.float32
    assert layer(jnp.ones((1, 4, 4, 2), jnp.bfloat16)).dtype == jnp.bfloat16


def test_stage_of_a_convolution_counts_its_channels():
    (one,) = StridedConv(3, 16, rngs=nnx.Rngs(0)).passes((32, 32))
    assert one.macs((32, 32)) == 16 * 16 * 9 * 3 * 16
    dense, pool = ConvPool(3, 16, rngs=nnx.Rngs(0)).passes((32, 32))
    assert dense.macs((32, 32)) == 4 * one.macs((32, 32))
    assert pool.macs((32, 32)) == 16 * 16 * 4 * 16


def test_phases():
    def phase(cls, padding, size, **options):
        return cls(2, padding=padding, rngs=nnx.Rngs(0), **options).phase(size)

    assert phase(StridedConv, "SYMMETRIC", (8, 8)) == (0.0, 0.0)
    assert phase(StridedConv, "SAME", (8, 9)) == (1.0, 0.0)  # pads (0, 1) on even sizes
    assert phase(StridedConv, "SAME_LOWER", (8, 9)) == (0.0, 0.0)
    assert phase(StridedConv, "SAME", (8, 9), window=2) == (0.5, 0.5)
    assert phase(Subsample, "SAME", (8, 9)) == (0.0, 0.0)
    assert phase(ConvPool, "SYMMETRIC", (8, 9)) == (0.5, 0.5)


def test_subsample_keeps_every_s_th_pixel(random):
    x = images(random, 2, 7, 8, 3)
    np.testing.assert_array_equal(Subsample(3)(x), x[:, ::2, ::2])
    np.testing.assert_array_equal(Subsample(3, stride=(1, 3))(x), x[:, :, ::3])


def test_conv_pool_is_a_dense_convolution_then_a_maximum(random):
    x = images(random, 2, 7, 8, 3)
    layer = ConvPool(3, 5, stride=(2, 3), rngs=nnx.Rngs(0))
    dense = reference.conv(np.asarray(x), np.asarray(layer.conv.kernel[...]), (1, 1), 1, (1, 1))
    expected = reference.max_pool(dense, (2, 3), (2, 3), ((0, 1), (1, 1)), (1, 1))
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_the_kernel_gets_a_gradient(random):
    x = images(random, 2, 7, 8, 3)
    for cls in (StridedConv, ConvPool):
        graph, params = nnx.split(cls(3, 4, rngs=nnx.Rngs(0)))
        gradient = jax.grad(lambda params: (nnx.merge(graph, params)(x) ** 2).sum())(params)  # noqa: B023
        (kernel,) = jax.tree.leaves(gradient)
        assert (kernel != 0).all()
