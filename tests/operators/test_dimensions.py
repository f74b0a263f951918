"""Every operator in one, two and three dimensions, as a module and as a function: the same values wherever both exist."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import strideflax
from strideflax import DOWNSAMPLERS, downsampler
from strideflax.operators.base import Downsample
from strideflax.operators.table import operator_entry

ALL = list(DOWNSAMPLERS)
# Their parameters depend on the number of axes, so an operator of fewer axes is not a special case of one of more.
PER_AXIS = ("diff_stride", "lps", "tips")
FEATURES = 2


def build(cls, stride, window=None, padding="SYMMETRIC"):
    return cls(FEATURES, stride=stride, window=window, padding=padding, rngs=nnx.Rngs(0))


def with_parameters_of(module, other):
    """Return ``module`` with random parameters, and ``other`` with the same numbers in its own shapes."""
    random = np.random.default_rng(1)
    graph, state, rest = nnx.split(module, nnx.Param, ...)
    drawn = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape), leaf.dtype), state)
    other_graph, other_state, other_rest = nnx.split(other, nnx.Param, ...)
    leaves = [
        leaf.reshape(shape.shape)
        for leaf, shape in zip(jax.tree.leaves(drawn), jax.tree.leaves(other_state), strict=True)
    ]
    other_drawn = jax.tree.unflatten(jax.tree.structure(other_state), leaves)
    return nnx.merge(graph, drawn, rest), nnx.merge(other_graph, other_drawn, other_rest)


def classes(name):
    entry = operator_entry(name)
    return {entry.main, entry.on_shortcut} - {strideflax.operators.Polyphase}


@pytest.mark.parametrize("padding", ["SYMMETRIC", "SAME", "REFLECT"])
@pytest.mark.parametrize("name", [name for name in ALL if name not in PER_AXIS])
def test_one_axis_is_two_of_which_one_is_left_alone(name, padding, random):
    for cls in classes(name):
        windows = (None, None) if cls.default_window is None else ((3,), (3, 1))
        line, plane = build(cls, (2,), windows[0], padding), build(cls, (2, 1), windows[1], padding)
        line, plane = with_parameters_of(line, plane)
        x = jnp.asarray(random.normal(size=(2, 8, FEATURES)) + 3, jnp.float32)
        y, expected = jax.jit(lambda x: (line(x), plane(x[:, :, None])[:, :, 0]))(x)  # noqa: B023
        assert y.shape == (2, 4, line.out_features)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in ALL if name not in PER_AXIS])
def test_two_axes_are_three_of_which_one_is_left_alone(name, random):
    for cls in classes(name):
        windows = (None, None) if cls.default_window is None else ((3, 3), (1, 3, 3))
        plane, space = build(cls, (2, 2), windows[0]), build(cls, (1, 2, 2), windows[1])
        plane, space = with_parameters_of(plane, space)
        x = jnp.asarray(random.normal(size=(2, 6, 8, FEATURES)) + 3, jnp.float32)
        y, expected = jax.jit(lambda x: (space(x[:, None])[:, 0], plane(x)))(x)  # noqa: B023
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", ALL)
def test_every_rank_has_its_shape_its_gradient_and_its_passes(name, axes, random):
    operator = downsampler(name)(FEATURES, axes=axes, rngs=nnx.Rngs(0))
    size = (6, 5, 4)[:axes]
    x = jnp.asarray(random.normal(size=(2, *size, FEATURES)), jnp.float32)
    expected = tuple(-(-n // 2) for n in size)
    y, gradient = jax.jit(jax.value_and_grad(lambda x: operator(x).sum()))(x)
    assert np.isfinite(y)
    assert np.isfinite(gradient).all()
    assert operator(x).shape == (2, *expected, operator.out_features)
    reached = size
    for one in operator.passes(size):
        reached = one.output_size(reached)
    assert reached == expected


def test_the_number_of_axes_comes_from_stride_or_window_or_is_given():
    pool = downsampler("max_pool")
    assert pool(1).stride == (2, 2)
    assert pool(1, stride=(2, 1, 2)).stride == (2, 1, 2)
    assert pool(1, window=(3,)).stride == (2,)
    assert pool(1, axes=3).window == (2, 2, 2)
    for axes in (0, 4, True, "2"):
        with pytest.raises(ValueError, match=r"MaxPool: axes must be 1, 2 or 3, got"):
            pool(1, axes=axes)
    with pytest.raises(ValueError, match=r"MaxPool: window must be an int >= 1 or 2 of them"):
        pool(1, stride=(2, 2), window=(3,))
    with pytest.raises(ValueError, match=r"MaxPool takes \[batch, depth, height, width, 1\], got an input of shape"):
        pool(1, axes=3)(jnp.ones((1, 4, 4, 1)))


def functional(operator: Downsample, name: str, x):
    """Call the operator's function with the module's own parameters and options."""
    stride, window, padding = operator.stride, operator.window, "SAME"
    pool = {"stride": stride, "padding": padding}
    if name in ("strided_conv", "resnet_d"):
        kernel = operator.kernel if name == "strided_conv" else operator.conv.kernel
        return strideflax.conv(x, kernel[...], **pool)
    calls = {
        "subsample": lambda: strideflax.subsample(x, stride),
        "max_pool": lambda: strideflax.max_pool(x, window, **pool),
        "avg_pool": lambda: strideflax.avg_pool(x, window, **pool),
        "conv_pool": lambda: strideflax.conv_pool(x, operator.conv.kernel[...], **pool),
        "blur_pool": lambda: strideflax.blur_pool(x, window, **pool),
        "max_blur": lambda: strideflax.max_blur(x, window, **pool),
        "conv_blur": lambda: strideflax.conv_blur(x, operator.conv.kernel[...], **pool),
        "l2_pool": lambda: strideflax.lp_pool(x, window, p=2, **pool),
        "gem_pool": lambda: strideflax.generalized_mean_pool(x, window, jnp.exp(operator.log_p[...]), **pool),
        "max_avg": lambda: strideflax.max_avg_pool(x, window, **pool),
        "mixed_pool": lambda: strideflax.mixed_pool(x, window, jax.nn.sigmoid(operator.logit[...]), **pool),
        "gated_pool": lambda: strideflax.gated_pool(x, window, operator.mask[...], **pool),
        "soft_pool": lambda: strideflax.soft_pool(x, window, **pool),
        "stochastic_pool": lambda: strideflax.stochastic_pool(x, window, **pool),
        "lip": lambda: strideflax.local_importance_pool(x, operator.logits(x), window, **pool),
        "ada_pool": lambda: strideflax.ada_pool(x, window, jax.nn.sigmoid(operator.logit[...]), **pool),
        "pasa": lambda: strideflax.pixel_adaptive_pool(x, operator.kernel[...], operator.bias[...], **pool),
        "resize": lambda: strideflax.resize_pool(x, stride, padding=padding),
        "spectral_pool": lambda: strideflax.spectral_pool(x, stride),
        "asap": lambda: strideflax.asap_pool(x, stride),
        "diff_stride": lambda: strideflax.diff_stride(x, operator.learned_stride[...], stride=stride),
        "aps": lambda: strideflax.adaptive_polyphase(x, stride),
        "lps": lambda: strideflax.learned_polyphase(
            x, operator.conv.kernel[...], operator.score[...], stride=stride
        ),
        "tips": lambda: strideflax.soft_polyphase(x, operator.kernel[...], operator.gain[...], stride=stride),
        "space_to_depth": lambda: strideflax.space_to_depth(x, stride, padding=padding),
        "haar_low": lambda: strideflax.haar_low(x, stride, padding=padding),
        "haar_all": lambda: strideflax.haar_all(x, stride, padding=padding),
        "db2_low": lambda: strideflax.wavelet_low(x, stride=stride, padding=padding),
        "db2_all": lambda: strideflax.wavelet_all(x, stride=stride, padding=padding),
        "bior33_low": lambda: strideflax.wavelet_low(
            x, strideflax.spline_wavelet(3, 3), stride=stride, padding=padding
        ),
    }  # fmt: skip
    return calls[name]()


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", ALL)
def test_the_function_is_the_module(name, axes, random):
    operator = downsampler(name)(FEATURES, axes=axes, padding="SAME", rngs=nnx.Rngs(0))
    x = jnp.asarray(random.normal(size=(2, *(5, 6, 4)[:axes], FEATURES)), jnp.float32)
    np.testing.assert_array_equal(functional(operator, name, x), operator(x))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_shortcut_of_resnet_d_as_a_function(axes, random):
    shortcut = operator_entry("resnet_d").on_shortcut(FEATURES, 3, axes=axes, rngs=nnx.Rngs(0))
    x = jnp.asarray(random.normal(size=(2, *(5, 6, 4)[:axes], FEATURES)), jnp.float32)
    np.testing.assert_array_equal(strideflax.resnet_d_shortcut(x, shortcut.conv.kernel[...]), shortcut(x))


def test_the_taps_of_conv_blur_can_be_chosen_and_others_have_none(random):
    x = jnp.asarray(random.normal(size=(1, 8, 8, FEATURES)), jnp.float32)
    operator = downsampler("conv_blur")(FEATURES, taps=5, padding="REFLECT", rngs=nnx.Rngs(0))
    expected = strideflax.conv_blur(x, operator.conv.kernel[...], taps=5)
    np.testing.assert_array_equal(operator(x), expected)
    with pytest.raises(ValueError, match=r"MaxPool has no filter behind a convolution, got taps=5"):
        downsampler("max_pool")(FEATURES, taps=5)
    with pytest.raises(ValueError, match=r"ConvBlur: taps must be an int >= 1"):
        downsampler("conv_blur")(FEATURES, taps=0, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("name", ["strided_conv", "conv_pool", "conv_blur", "resnet_d", "lip", "lps", "pasa", "tips"])
def test_initial_values_need_random_streams(name):
    with pytest.raises(ValueError, match=r"draws initial values: it needs rngs=nnx.Rngs\(seed\), got None"):
        downsampler(name)(FEATURES)
