import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads
from operators import reference

from strideflax.operators.composed import BlurProjection, ConvBlur, MeanProjection, ResNetD
from strideflax.operators.receptive_field import receptive_fields
from strideflax.operators.strided import StridedConv

BINOMIAL = np.array([1, 2, 1]) / 4
CENTRED = [(1, 1), (1, 1)]


def layer(cls, random, in_features=2, out_features=3, **options):
    module = cls(in_features, out_features, rngs=nnx.Rngs(0), **options)
    kernel = random.normal(size=module.conv.kernel.shape)
    module.conv.kernel[...] = jnp.asarray(kernel)
    return module, kernel


def blur_by_definition(x, stride, padding):
    """The binomial filter of 3 taps on the axes with a stride, as a convolution of each channel with itself alone."""
    rows, columns = (BINOMIAL if s > 1 else np.ones(1) for s in stride)
    kernel = np.outer(rows, columns)[..., None, None] * np.ones(x.shape[-1])
    return reference.conv(x, kernel, stride, padding, (1, 1), groups=x.shape[-1])


# ConvBlur


@pytest.mark.parametrize(
    ("padding", "stride", "conv_pads", "blur_pads"),
    [
        ("SYMMETRIC", (2, 2), CENTRED, CENTRED),
        ("SYMMETRIC", (2, 1), CENTRED, [(1, 1), (0, 0)]),
        ("SAME", (2, 2), CENTRED, [(1, 1), (0, 1)]),  # at stride 1 SAME is centred; at stride 2 not on even sizes
        ("REFLECT", (2, 2), "REFLECT", "REFLECT"),
    ],
)
def test_conv_blur_is_convolution_relu_filter_subsample(padding, stride, conv_pads, blur_pads, random, float64):
    x = random.normal(size=(2, 7, 6, 2))
    module, kernel = layer(ConvBlur, random, padding=padding, stride=stride)
    dense = np.maximum(reference.conv(x, kernel, (1, 1), conv_pads, (1, 1)), 0)
    np.testing.assert_allclose(module(x), blur_by_definition(dense, stride, blur_pads), rtol=1e-12, atol=1e-13)
    strided = module.dense(x)[:, :: stride[0], :: stride[1]]
    np.testing.assert_allclose(strided, module(x), rtol=1e-12, atol=1e-13)


def test_conv_blur_by_hand():
    module = ConvBlur(1, 1, window=(1, 2), stride=(1, 2), padding="REFLECT", rngs=nnx.Rngs(0))
    module.conv.kernel[...] = jnp.array([-1.0, 1.0]).reshape(1, 2, 1, 1)  # forward difference, mirrored at the end
    x = jnp.array([0.0, 4, 4, 12])[None, None, :, None]  # differences 4 0 8 -8, after ReLU 4 0 8 0
    np.testing.assert_array_equal(module(x)[0, 0, :, 0], [2, 4])  # (0 + 2 * 4 + 0) / 4, (0 + 2 * 8 + 0) / 4


def test_the_projection_of_conv_blur_is_linear_and_blurs_first(random, float64):
    x = random.normal(size=(2, 7, 6, 2))
    module, kernel = layer(BlurProjection, random, padding="SYMMETRIC")
    expected = blur_by_definition(x, (2, 2), CENTRED) @ kernel[0, 0]
    np.testing.assert_allclose(module(x), expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(module(-x), -expected, rtol=1e-12, atol=1e-13)


def test_conv_blur_of_one_tap_is_the_strided_convolution_with_relu(random, float64):
    x = random.normal(size=(2, 7, 6, 2))
    blurless, strided = (
        cls(2, 3, rngs=nnx.Rngs(0), **o)
        for cls, o in ((ConvBlur, {"taps": 1, "padding": "SYMMETRIC"}), (StridedConv, {}))
    )
    np.testing.assert_allclose(blurless(x), np.maximum(strided(x), 0), rtol=1e-12, atol=1e-13)


# ResNetD


@pytest.mark.parametrize(("padding", "pads"), [("SYMMETRIC", [(0, 1), (0, 1)]), ("CIRCULAR", "CIRCULAR")])
def test_the_projection_of_resnet_d_averages_first(padding, pads, random, float64):
    x = random.normal(size=(2, 7, 6, 2))
    module, kernel = layer(MeanProjection, random, padding=padding)
    expected = reference.avg_pool(x, (2, 2), (2, 2), pads, (1, 1)) @ kernel[0, 0]
    np.testing.assert_allclose(module(x), expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(module.dense(x)[:, ::2, ::2], expected, rtol=1e-12, atol=1e-13)


def test_resnet_d_by_hand():
    module = MeanProjection(1, 2, rngs=nnx.Rngs(0))
    module.conv.kernel[...] = jnp.array([1.0, -2.0]).reshape(1, 1, 1, 2)
    x = jnp.array([[1.0, 3], [5, 7]])[None, ..., None]
    np.testing.assert_array_equal(module(x)[0, 0, 0], [4, -8])


def test_a_real_kernel_of_resnet_d_is_the_strided_convolution(random):
    x = jnp.asarray(random.normal(size=(2, 7, 6, 2)), jnp.float32)
    tweaked, strided = (cls(2, 3, rngs=nnx.Rngs(0)) for cls in (ResNetD, StridedConv))
    np.testing.assert_array_equal(tweaked(x), strided(x))
    np.testing.assert_array_equal(tweaked.dense(x), strided.dense(x))


# Both


def test_gradients_against_differences(random, float64):
    x = random.normal(size=(1, 5, 4, 2))
    for cls, window in ((ConvBlur, 3), (BlurProjection, 1), (MeanProjection, 1)):
        module, _ = layer(cls, random, window=window)
        graph, parameters = nnx.split(module)
        apply = jax.jit(lambda x, parameters, graph=graph: nnx.merge(graph, parameters)(x))
        check_grads(apply, (x, parameters), order=1, modes=["rev"])


def test_bfloat16_stays_bfloat16(random):
    x = jnp.asarray(random.normal(size=(2, 6, 6, 2)), jnp.bfloat16)
    for cls in (BlurProjection, MeanProjection):
        module, _ = layer(cls, random)
        assert module(x).dtype == jnp.bfloat16
        np.testing.assert_allclose(module(x).astype(jnp.float32), module(x.astype(jnp.float32)), rtol=0.03, atol=0.03)


@pytest.mark.parametrize(
    ("cls", "window", "macs", "size", "start"),
    [
        (ConvBlur, 3, 8 * 8 * 9 * 2 * 3 + 4 * 4 * (3 + 3) * 3, 5, 0),
        (BlurProjection, 1, 4 * 4 * (3 + 3) * 2 + 4 * 4 * 2 * 3, 3, 0),
        (ResNetD, 3, 4 * 4 * 9 * 2 * 3, 3, 0),
        (MeanProjection, 1, 4 * 4 * 4 * 2 + 4 * 4 * 2 * 3, 2, 0.5),
    ],
)
def test_passes_say_costs_fields_and_phases(cls, window, macs, size, start):
    module, at, total = cls(2, 3, window=window, rngs=nnx.Rngs(0)), (8, 8), 0
    for one in module.passes(at):
        total, at = total + one.macs(at), one.output_size(at)
    assert at == (4, 4)
    assert total == macs
    field = receptive_fields(module.passes((8, 8)))[0]
    assert (field.size, field.jump, field.start) == (size, 2, start)


def test_a_map_too_small_is_told_what_to_use():
    x = jnp.ones((1, 1, 1, 2))
    for cls in (BlurProjection, MeanProjection):
        with pytest.raises(ValueError, match=r"padding REFLECT needs a border of 1 .* use SAME or SYMMETRIC"):
            cls(2, 3, padding="REFLECT", rngs=nnx.Rngs(0))(x)
        assert cls(2, 3, padding="SYMMETRIC", rngs=nnx.Rngs(0))(x).shape == (1, 1, 1, 3)
