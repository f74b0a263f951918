import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from operators import reference

from strideflax import blur_pool, conv, max_pool
from strideflax.operators.blur import BlurPool, MaxBlur, binomial_filter

blurred = jax.jit(blur_pool, static_argnames=("taps", "stride", "padding"))  # compiled whole, which is quicker


def test_filters_are_rows_of_pascal_s_triangle():
    for taps, row in [(1, [1]), (2, [1, 1]), (3, [1, 2, 1]), (4, [1, 3, 3, 1]), (5, [1, 4, 6, 4, 1])]:
        np.testing.assert_array_equal(binomial_filter(taps), np.array(row) / 2 ** (taps - 1))


@pytest.mark.parametrize("taps", [0, -1, 1.5, True, (3, 3)])
def test_filters_have_a_positive_number_of_taps(taps):
    with pytest.raises(ValueError, match=re.escape("taps must be an int >= 1")):
        binomial_filter(taps)


def test_one_tap_only_subsamples(random):
    x = random.normal(size=(2, 7, 8, 3)).astype(np.float32)
    for padding in ("REFLECT", "CIRCULAR", "SAME", "VALID", "SYMMETRIC"):
        np.testing.assert_array_equal(blurred(x, taps=1, stride=(2, 3), padding=padding), x[:, ::2, ::3])


def test_the_default_is_three_taps_stride_2_mirrored():
    x = jnp.array([4.0, 8, 0, 4, 12]).reshape(1, 5, 1)
    np.testing.assert_array_equal(blur_pool(x)[0, :, 0], [6, 3, 8])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "padding", ["REFLECT", "CIRCULAR", "SAME", "SAME_LOWER", "SYMMETRIC", "VALID", 1, ((2, 0), (1, 3))]
)
@pytest.mark.parametrize(("taps", "stride"), [((3, 3), (2, 2)), ((2, 5), (2, 1)), ((4, 1), (3, 2))])
def test_blur_is_a_depthwise_convolution_with_the_outer_product(taps, stride, padding, random):
    x = random.normal(size=(2, 9, 8, 3))
    rows = [[math.comb(k - 1, i) / 2 ** (k - 1) for i in range(k)] for k in taps]
    kernel = np.repeat(np.outer(*rows)[..., None, None], 3, axis=-1)
    expected = reference.conv(x, kernel, stride, padding, (1, 1), groups=3)
    y = blurred(x, taps=taps, stride=stride, padding=padding)
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.usefixtures("float64")
def test_the_gradient_is_the_convolution_s(random):
    x, dy = random.normal(size=(2, 9, 8, 3)), random.normal(size=(2, 5, 4, 3))
    kernel = np.repeat(np.outer([0.25, 0.5, 0.25], [0.125, 0.375, 0.375, 0.125])[..., None, None], 3, axis=-1)
    expected, _ = reference.conv_gradients(x, kernel, dy, (2, 2), "REFLECT", (1, 1), groups=3)
    gradient = jax.jit(jax.grad(lambda x: (blur_pool(x, (3, 4)) * dy).sum()))(x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("taps", [2, 3, 4, 5])
def test_filled_borders_keep_a_constant_and_zeros_darken_it(taps):
    x = jnp.full((1, 8, 9, 2), 3.0)
    for padding in ("REFLECT", "CIRCULAR", "VALID"):
        y = blurred(x, taps=taps, padding=padding)
        np.testing.assert_array_equal(y, jnp.full(y.shape, 3.0))
    darkened = blurred(x, taps=taps, padding="SYMMETRIC")
    assert darkened.min() < 3
    assert darkened[0, 2, 2, 0] == 3


def test_three_taps_silence_the_highest_frequency_at_every_shift():
    wave = jnp.tile(jnp.array([1.0, -1.0]), 4).reshape(1, 8, 1)
    for shift in range(2):
        np.testing.assert_array_equal(blurred(jnp.roll(wave, shift, 1), padding="CIRCULAR"), jnp.zeros((1, 4, 1)))


@pytest.mark.parametrize("shape", [(2, 9, 3), (2, 5, 6, 7, 3)])
def test_one_and_three_axes(shape):
    y = blurred(jnp.ones(shape, jnp.bfloat16), taps=4)
    assert y.shape == (2, *(-(-n // 2) for n in shape[1:-1]), 3)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y, jnp.ones(y.shape))


def test_wrong_arguments_are_refused():
    x = np.zeros((1, 8, 9, 2), np.float32)
    with pytest.raises(
        ValueError, match=re.escape("taps must be an int >= 1 or 2 of them (one per spatial axis), got (3,)")
    ):
        blur_pool(x, (3,))
    with pytest.raises(ValueError, match=r"stride must be an int >= 1 or 2 of them .*, got 0"):
        blur_pool(x, 3, stride=0)
    with pytest.raises(ValueError, match=r"spatial axes, got shape \(8, 2\)"):
        blur_pool(x[0, :, 0], 3)
    with pytest.raises(ValueError, match=r"padding must be one of .*got 'mirror'"):
        blur_pool(x, 3, padding="mirror")
    with pytest.raises(
        ValueError, match=r"REFLECT needs a border of 1 pixels.* can fill at most 0; use SAME or SYMMETRIC"
    ):
        blur_pool(x[:, :1], 3)
    with pytest.raises(ValueError, match="empty output"):
        blur_pool(x, 10, padding="VALID")


# The modules


def test_blur_module_is_the_function(random):
    x = jnp.asarray(random.normal(size=(2, 7, 8, 3)), jnp.float32)
    np.testing.assert_array_equal(jax.jit(BlurPool(3, padding="SYMMETRIC").__call__)(x), blurred(x, taps=3, padding=1))
    np.testing.assert_array_equal(
        jax.jit(BlurPool(3, window=4, padding="SYMMETRIC").__call__)(x), blurred(x, taps=4, padding=((1, 2), (1, 2)))
    )
    np.testing.assert_array_equal(jax.jit(BlurPool(3).__call__)(x), blurred(x, taps=3))  # REFLECT, both
    np.testing.assert_array_equal(
        jax.jit(BlurPool(3, stride=(2, 1), padding="SYMMETRIC").__call__)(x),
        blurred(x, taps=(3, 1), stride=(2, 1), padding=((1, 1), (0, 0))),
    )
    assert BlurPool(3).phase((7, 8)) == (0.0, 0.0)
    assert BlurPool(3, window=4).phase((7, 8)) == (0.5, 0.5)


def test_max_blur_is_a_dense_maximum_then_a_blur(random):
    x = jnp.asarray(random.normal(size=(2, 7, 8, 3)), jnp.float32)
    dense = max_pool(x, 2, stride=1, padding=((0, 1), (0, 1)))
    np.testing.assert_array_equal(
        jax.jit(MaxBlur(3, padding="SYMMETRIC").__call__)(x), blurred(dense, taps=3, padding=1)
    )
    np.testing.assert_array_equal(
        jax.jit(MaxBlur(3, window=5, padding="SYMMETRIC").__call__)(x), blurred(dense, taps=5, padding=2)
    )
    wrapped = jnp.maximum(x, jnp.roll(x, -1, 1))
    wrapped = jnp.maximum(wrapped, jnp.roll(wrapped, -1, 2))
    np.testing.assert_array_equal(
        jax.jit(MaxBlur(3, padding="CIRCULAR").__call__)(x), blurred(wrapped, taps=3, padding="CIRCULAR")
    )
    assert MaxBlur(3).phase((7, 8)) == (0.5, 0.5)
    fields = [one.window.size for one in MaxBlur(3).passes((7, 8))]
    assert fields == [(2, 2), (3, 3)]


def test_modules_that_filter_keep_a_constant_at_the_border_as_their_functions_do():
    x = jnp.ones((1, 8, 8, 1))
    for module in (BlurPool(1), MaxBlur(1)):
        np.testing.assert_array_equal(module(x), jnp.ones((1, 4, 4, 1)))
    np.testing.assert_array_equal(blur_pool(x), BlurPool(1)(x))
    assert BlurPool(1, padding="SYMMETRIC")(x)[0, 0, 0, 0] == 0.5625  # zeros darken the rim, if they are asked for


def test_blur_costs_a_separable_filter():
    assert BlurPool(3, window=5).passes((8, 8))[0].macs((8, 8)) == 16 * 10 * 3
    assert conv(jnp.zeros((1, 8, 8, 3)), jnp.zeros((5, 5, 1, 3)), stride=2, groups=3).shape == (1, 4, 4, 3)


def test_maps_of_two_pixels_and_of_one_do_what_the_page_says():
    x = jnp.array([[4.0, 8.0], [12.0, 16.0]])[None, :, :, None]
    assert BlurPool(1)(x).item() == (4 + 8 + 12 + 16) / 4  # mirrored: 1 2 1 over 8 4 8 counts both pixels by a half
    assert BlurPool(1, padding="CIRCULAR")(x).item() == (4 + 8 + 12 + 16) / 4
    assert BlurPool(1, padding="SYMMETRIC")(x).item() == (4 * 4 + 2 * 8 + 2 * 12 + 16) / 16  # zeros around
    pixel = x[:, :1, :1]
    assert BlurPool(1, padding="CIRCULAR")(pixel).item() == 4
    assert BlurPool(1, padding="SYMMETRIC")(pixel).item() == 4 / 4
    for small, taps in ((pixel, 3), (x, 5)):
        message = rf"padding REFLECT needs a border of {taps // 2} .* size {small.shape[1]} can fill at most"
        with pytest.raises(ValueError, match=message):
            BlurPool(1, window=taps)(small)
