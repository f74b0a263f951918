import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from operators import reference

from strideflax import blur_pool, blurred_conv, conv, fold_blur, folded_macs_ratio

CASES = [
    ((8, 7), (3, 3), (3, 3), (2, 2), "CIRCULAR"),
    ((9, 8), (2, 4), (4, 2), (2, 3), "CIRCULAR"),
    ((9, 8), (3, 2), (2, 5), (2, 1), "VALID"),
    ((12,), (5,), (3,), (3,), "CIRCULAR"),
    ((6, 5, 6), (2, 1, 3), (3, 2, 2), (2, 2, 1), "VALID"),
]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("size", "window", "taps", "stride", "padding"), CASES)
def test_one_convolution_is_both_one_after_the_other(size, window, taps, stride, padding, random):
    x, kernel = random.normal(size=(2, *size, 3)), random.normal(size=(*window, 3, 4))
    ones = (1,) * len(size)
    dense = reference.conv(x, kernel, ones, padding, ones)
    expected = blur_pool(dense, taps, stride=stride, padding=padding)
    y = blurred_conv(x, kernel, taps=taps, stride=stride, padding=padding)
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-12)
    first = blur_pool(x, taps, stride=1, padding=padding)  # the blur commutes with the convolution
    np.testing.assert_allclose(conv(first, kernel, stride=stride, padding=padding), y, rtol=1e-11, atol=1e-12)


def test_the_kernel_by_hand():
    kernel = jnp.array([1.0, 2.0]).reshape(2, 1, 1)
    np.testing.assert_array_equal(fold_blur(kernel).ravel(), [0.25, 1, 1.25, 0.5])
    np.testing.assert_array_equal(fold_blur(kernel, 1), kernel)
    assert fold_blur(kernel.astype(jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.usefixtures("float64")
def test_gradients_against_differences(random):
    x, kernel = random.normal(size=(1, 5, 4, 2)), random.normal(size=(3, 2, 2, 2))
    check_grads(jax.jit(blurred_conv), (x, kernel), order=1, modes=["rev"])


def test_the_ratio_of_multiply_adds():
    assert folded_macs_ratio((3, 3), in_channels=64) == 25 * 64 / (36 * 64 + 6)
    assert folded_macs_ratio((3, 3), 5, in_channels=64) > 1
    assert folded_macs_ratio((1, 1), 3, in_channels=64) > 1
    assert folded_macs_ratio((7, 7), 3, stride=(2, 1), in_channels=3) == 81 * 3 / (98 * 3 + 6)


def test_borders_that_one_kernel_does_not_know_are_refused():
    x, kernel = jnp.ones((1, 6, 6, 2)), jnp.ones((3, 3, 2, 2))
    for padding in ("SAME", "SYMMETRIC", "REFLECT"):
        with pytest.raises(ValueError, match=f"padding must be CIRCULAR or VALID, got '{padding}'"):
            blurred_conv(x, kernel, padding=padding)
    with pytest.raises(
        ValueError, match=r"kernel must be \[\*window, in_channels, out_channels\] with 4 axes and 2 input"
    ):
        blurred_conv(x, jnp.ones((3, 3, 3, 2)))
    with pytest.raises(ValueError, match=r"kernel must be \[\*window, in_channels, out_channels\] with 1 to 3 axes"):
        fold_blur(jnp.ones((2, 2)))
    with pytest.raises(ValueError, match="empty output: a window of extent 9"):
        blurred_conv(x, kernel, taps=7, padding="VALID")
