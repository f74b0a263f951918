"""Every public function of arrays, in one table, under the values, types and transformations that broke others elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, export

import strideflax

CHANNELS = 2
SIZE = (6, 4)


@dataclass(frozen=True)
class Row:
    """A function of one image, and what is known of it.

    Attributes:
        call: maps ``[batch, height, width, channels]``.
        gain: what a constant image is multiplied by, None if it is not.
        limit: what it makes of a constant of the largest size, "finite" or "grows" (a sum, which may overflow).
    """

    call: Callable[[Array], Array]
    gain: float | None = 1.0
    limit: str = "finite"


def kernel(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


BOX = np.full((3, 3, CHANNELS, CHANNELS), 0.01, np.float32)
POINT = np.eye(CHANNELS, dtype=np.float32)[None, None]
PREDICTING = np.zeros((3, 3, CHANNELS, 2 * 9), np.float32), np.zeros(2 * 9, np.float32)
GAIN = np.ones(CHANNELS, np.float32)
SCORING = kernel(3, 3, CHANNELS, 4)

FUNCTIONS = {
    "conv": Row(lambda x: strideflax.conv(x, BOX.astype(x.dtype), stride=2, padding="REFLECT"), 0.18),
    "subsample": Row(lambda x: strideflax.subsample(x)),
    "max_pool": Row(lambda x: strideflax.max_pool(x, 3, stride=2, padding="SYMMETRIC")),
    "avg_pool": Row(lambda x: strideflax.avg_pool(x, 2)),
    "conv_pool": Row(lambda x: strideflax.conv_pool(x, POINT.astype(x.dtype))),
    "blur_pool": Row(lambda x: strideflax.blur_pool(x)),
    "max_blur": Row(lambda x: strideflax.max_blur(x)),
    "conv_blur": Row(lambda x: strideflax.conv_blur(x, POINT.astype(x.dtype))),
    "resnet_d_shortcut": Row(lambda x: strideflax.resnet_d_shortcut(x, POINT.astype(x.dtype))),
    "lp_pool 1": Row(lambda x: strideflax.lp_pool(x, 2, p=1), 4.0, "grows"),
    "lp_pool 1.0": Row(lambda x: strideflax.lp_pool(x, 2, p=1.0), 4.0, "grows"),
    "lp_pool 2": Row(lambda x: strideflax.lp_pool(x, 2), 2.0, "grows"),
    "lp_pool 2.5": Row(lambda x: strideflax.lp_pool(x, 2, p=2.5), 4 ** (1 / 2.5), "grows"),
    "generalized_mean_pool": Row(lambda x: strideflax.generalized_mean_pool(x, 2, 3.0)),
    "max_avg_pool": Row(lambda x: strideflax.max_avg_pool(x, 2), 2.0, "grows"),
    "mixed_pool": Row(lambda x: strideflax.mixed_pool(x, 2, 0.25)),
    "gated_pool": Row(lambda x: strideflax.gated_pool(x, 2, np.zeros((2, 2), np.float32))),
    "soft_pool": Row(lambda x: strideflax.soft_pool(x, 2)),
    "local_importance_pool": Row(lambda x: strideflax.local_importance_pool(x, jnp.zeros_like(x), 2)),
    "stochastic_pool": Row(lambda x: strideflax.stochastic_pool(x, 2)),
    "stochastic_pool, a key": Row(lambda x: strideflax.stochastic_pool(x, 2, key=jax.random.key(0))),
    "resize_pool": Row(lambda x: strideflax.resize_pool(x)),
    "spectral_pool": Row(lambda x: strideflax.spectral_pool(x)),
    "diff_stride": Row(lambda x: strideflax.diff_stride(x, jnp.full(2, 2.0))),
    "adaptive_polyphase": Row(lambda x: strideflax.adaptive_polyphase(x)),
    "learned_polyphase": Row(lambda x: strideflax.learned_polyphase(x, SCORING, kernel(4))),
    "space_to_depth": Row(lambda x: strideflax.space_to_depth(x)),
    "depth_to_space": Row(lambda x: strideflax.depth_to_space(jnp.concatenate([x, x], -1), 2)),
    "haar_low": Row(lambda x: strideflax.haar_low(x), 2.0, "grows"),
    "haar_all": Row(lambda x: strideflax.haar_all(x), None, "grows"),
    "blurred_conv": Row(lambda x: strideflax.blurred_conv(x, BOX.astype(x.dtype)), 0.18),
    "ada_pool": Row(lambda x: strideflax.ada_pool(x, 2, 0.25)),
    "pixel_adaptive_pool": Row(lambda x: strideflax.pixel_adaptive_pool(x, *PREDICTING)),
    "asap_pool": Row(lambda x: strideflax.asap_pool(x)),
    "soft_polyphase": Row(lambda x: strideflax.soft_polyphase(x, np.full((3, 3, 1, CHANNELS), 0.01), GAIN)),
    "wavelet_low": Row(lambda x: strideflax.wavelet_low(x), 2.0, "grows"),
    "wavelet_all": Row(lambda x: strideflax.wavelet_all(x, strideflax.spline_wavelet(3, 3)), None, "grows"),
    "wavelet_upsample": Row(lambda x: strideflax.wavelet_upsample(x, stride=(2, 1)), None, "grows"),
    "spectral_upsample": Row(lambda x: strideflax.spectral_upsample(x)),
    "max_pool, ceil_mode": Row(lambda x: strideflax.max_pool(x, 3, stride=2, ceil_mode=True)),
    "adaptive_avg_pool": Row(lambda x: strideflax.adaptive_avg_pool(x, (4, 2))),
    "adaptive_max_pool": Row(lambda x: strideflax.adaptive_max_pool(x, (4, None))),
    "nearest_upsample": Row(lambda x: strideflax.nearest_upsample(x)),
    "linear_upsample": Row(lambda x: strideflax.linear_upsample(x, (2, 3))),
    "blur_upsample": Row(lambda x: strideflax.blur_upsample(x)),
    "polyphase_upsample": Row(lambda x: strideflax.polyphase_upsample(x, strideflax.polyphase_index(x)), None),
    "conv_transpose": Row(lambda x: strideflax.conv_transpose(x, POINT.astype(x.dtype), stride=1)),
}  # fmt: skip
# They overflow where a sum of the window's values does, and say so by an infinity: the value is not representable, or its
# partial sums are not.
SUMS = ("conv", "avg_pool", "resnet_d_shortcut", "mixed_pool", "gated_pool", "spectral_pool", "diff_stride")
SUMS += ("blurred_conv", "adaptive_avg_pool", "asap_pool", "spectral_upsample")
# Those whose kernels here have the type of the images.
OWN_TYPE = ("conv", "blurred_conv", "conv_transpose", "conv_pool", "conv_blur", "resnet_d_shortcut")

every_function = pytest.mark.parametrize("name", list(FUNCTIONS))


def images(random: np.random.Generator, dtype=np.float32, size=SIZE) -> Array:
    return jnp.asarray(random.uniform(0.5, 2, (2, *size, CHANNELS)), dtype)


@every_function
def test_a_constant_stays_what_it_should_be_whatever_its_size(name):
    row = FUNCTIONS[name]
    call = jax.jit(row.call)
    for value in (1e-35, 1e-30, 1e-3, 1.0, 1e3, 1e30, 4e37):
        if name == "blurred_conv" and value == 1e-35:
            continue  # its outermost taps are so small that their products are flushed to 0
        y = np.asarray(call(jnp.full((1, *SIZE, CHANNELS), value, jnp.float32)), np.float64)
        floor = 1e-6 if name == "generalized_mean_pool" else 0.0  # its smallest value
        if row.gain is not None:
            np.testing.assert_allclose(y, max(value, floor) * row.gain, rtol=2e-5)
    for value in (8e37, -8e37):  # a sum of five may overflow to infinity; it never becomes 0 or NaN
        y = np.asarray(call(jnp.full((1, *SIZE, CHANNELS), value, jnp.float32)))
        assert not np.isnan(y).any()
        positive_only = ("generalized_mean_pool", "stochastic_pool", "stochastic_pool, a key", "conv_blur")
        if row.gain is not None and not (value < 0 and name in positive_only):
            assert (np.abs(y) > 1e37).all()
        if row.limit == "finite" and name not in SUMS:
            assert np.isfinite(y).all()


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in OWN_TYPE])
def test_whole_numbers_are_not_cut(name, random):
    """Images as they come from a file: a mean of 1 and 2 is 1.5, in a floating-point type, or the maximum, in their own."""
    for dtype in (np.uint8, np.bool_):
        x = jnp.asarray(random.integers(0, 2 if dtype == np.bool_ else 9, (1, *SIZE, CHANNELS))).astype(dtype)
        y = jax.jit(FUNCTIONS[name].call)(x)
        expected = jax.jit(FUNCTIONS[name].call)(x.astype(jnp.float32))
        np.testing.assert_allclose(np.asarray(y, np.float64), expected, rtol=1e-5, atol=1e-5)


@every_function
def test_one_minus_infinity_and_one_infinity_have_their_limit(name, random):
    """An infinite pixel spoils its own windows at most; no other output becomes NaN."""
    x = np.array(images(random))
    call = jax.jit(FUNCTIONS[name].call)
    plain = np.asarray(call(jnp.asarray(x)))
    for value in (-np.inf, np.inf):
        x[0, 0, 0, 0] = value
        y = np.asarray(call(jnp.asarray(x)))
        np.testing.assert_array_equal(y[1], plain[1])  # the other image
    if name == "soft_pool":  # the softmax gives minus infinity no weight
        x[0, 0, 0, 0] = -np.inf
        finite = np.array([x[0, 0, 1, 0], x[0, 1, 0, 0], x[0, 1, 1, 0]])
        weights = np.exp(finite - finite.max())
        y = FUNCTIONS[name].call(jnp.asarray(x))
        np.testing.assert_allclose(y[0, 0, 0, 0], (weights * finite).sum() / weights.sum(), rtol=1e-6)


@every_function
def test_second_derivatives_are_numbers_at_zeros_and_ties(name):
    x = jnp.array([[0.0, 0.0, 1.0, 1.0], [0.0, 2.0, 1.0, 1.0]] * 3)[None, :, :, None] * jnp.ones((1, 1, 1, CHANNELS))

    def energy(x: Array) -> Array:
        return (FUNCTIONS[name].call(x) ** 2).sum()

    gradient, curvature = jax.jit(lambda x: jax.jvp(jax.grad(energy), (x,), (jnp.ones_like(x),)))(x)
    assert np.isfinite(gradient).all()
    assert np.isfinite(curvature).all()


def test_a_power_given_as_a_float_has_the_curvature_of_the_whole_number():
    x = jnp.array([0.0, 1.0, 2.0, 0.5]).reshape(1, 4, 1)
    for whole, same in ((1, 1.0), (2, np.float32(2)), (3, np.int64(3))):
        hessians = [
            jax.hessian(lambda x, p=p: strideflax.lp_pool(x, 4, p=p).sum())(x).reshape(4, 4) for p in (whole, same)
        ]
        np.testing.assert_array_equal(*hessians)
        assert np.isfinite(hessians[0]).all()


@every_function
def test_jax_s_strict_switches(name, random):
    x = images(random)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"), jax.checking_leaks():
        y, _ = jax.jit(
            lambda x: (FUNCTIONS[name].call(x), jax.vjp(FUNCTIONS[name].call, x)[1](FUNCTIONS[name].call(x)))
        )(x)
    with jax.enable_x64(True):
        wide = jax.jit(FUNCTIONS[name].call)(jnp.asarray(x, jnp.float64))
        assert wide.dtype == jnp.float64
    if "a key" not in name:  # draws depend on the type
        np.testing.assert_allclose(wide, y, rtol=1e-4, atol=1e-5)


@every_function
def test_export_with_a_symbolic_batch(name, random):
    (batch,) = export.symbolic_shape("batch")
    shape = jax.ShapeDtypeStruct((batch, *SIZE, CHANNELS), jnp.float32)
    exported = export.export(jax.jit(FUNCTIONS[name].call))(shape)
    x = images(random)
    if "a key" not in name:  # draws depend on the shape
        np.testing.assert_allclose(exported.call(x), jax.jit(FUNCTIONS[name].call)(x), rtol=1e-5, atol=1e-5)


@every_function
def test_under_vmap_and_in_bfloat16(name, random):
    x = images(random)
    call = FUNCTIONS[name].call
    mapped, plain = jax.jit(lambda x: (jax.vmap(call)(x[:, None])[:, 0], call(x)))(x)
    if "a key" not in name:
        np.testing.assert_allclose(mapped, plain, rtol=1e-5, atol=1e-5)
    assert jax.eval_shape(call, x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize("p", [np.float32(2), np.int64(2), np.float64(2.0)])
def test_numpy_scalars_are_numbers(p, random):
    x = images(random)
    np.testing.assert_array_equal(strideflax.lp_pool(x, 2, p=p), strideflax.lp_pool(x, 2, p=2))


@pytest.mark.parametrize("p", [0, -1, np.nan, np.inf, True, "2", np.float32(np.nan)])
def test_exponents_that_mean_nothing_are_refused(p, random):
    x = images(random)
    with pytest.raises(ValueError, match="p must be a finite number >= 1"):
        strideflax.lp_pool(x, 2, p=p)
    if p is not True and p != "2":
        for given in (p, jnp.asarray(p, jnp.float32)):
            with pytest.raises(ValueError, match="p must be a finite scalar > 0"):
                strideflax.generalized_mean_pool(x, 2, given)


def test_a_window_of_minus_infinity_gives_its_gradient_to_its_first_real_pixel():
    x = jnp.full((1, 4, 4, 1), -jnp.inf)
    _, pull = jax.vjp(lambda x: strideflax.max_pool(x, 3, stride=2, padding=1), x)
    expected = np.zeros((4, 4))
    expected[:2, :2] = 1  # windows at -1 and 1: PyTorch's indices 0, 1, 4 and 5
    np.testing.assert_array_equal(pull(jnp.ones((1, 2, 2, 1)))[0][0, :, :, 0], expected)
