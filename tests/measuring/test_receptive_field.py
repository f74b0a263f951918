import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.signal import convolve2d

from strideflax.measuring.receptive_field import THRESHOLD, draw, effective_field, field_extent
from strideflax.operators.strided import StridedConv


def stack(kernels, strides=(1, 1)):
    layers = []
    for kernel, stride in zip(kernels, strides, strict=True):
        layer = StridedConv(1, 1, stride=stride, window=kernel.shape, rngs=nnx.Rngs(0))
        layer.kernel[...] = jnp.asarray(kernel[:, :, None, None], jnp.float32)
        layers.append(layer)
    return lambda x: layers[1](layers[0](x))


def images(channels=1, size=16):
    return [jnp.asarray(np.random.default_rng(i).normal(size=(3, size, size, channels)), jnp.float32) for i in range(2)]


def test_the_field_of_a_linear_stack_is_the_convolution_of_its_kernels():
    random = np.random.default_rng(0)
    first, second = random.normal(size=(3, 3)), random.normal(size=(5, 3))
    field = effective_field(stack([first, second]), images(), jax.random.key(0))
    # A layer correlates, so the response to a pixel at an offset is the kernels' convolution at that offset.
    expected = np.zeros((16, 16))
    expected[8 - 3 : 8 + 4, 8 - 2 : 8 + 3] = np.abs(convolve2d(first, second))
    assert np.allclose(field, expected, atol=1e-5)


def test_a_stride_spreads_the_next_kernel():
    first, second = np.array([[1.0, 2, 1]]), np.array([[1.0, 3, 5]])
    field = effective_field(stack([first, second], ((1, 2), (1, 1))), images(), jax.random.key(0))
    # Middle of 8 columns: 4, centred on column 8; taps of the second kernel are two columns apart.
    assert np.allclose(field[8], np.pad(np.convolve([1, 2, 1], [1, 0, 3, 0, 5]), (5, 4)), atol=1e-5)
    assert field.sum() == pytest.approx(4 * 9, rel=1e-5)


def test_colours_are_summed_and_channels_get_random_signs():
    weights = jnp.array([[2.0, -1.0], [0.5, 0.5]])
    field = effective_field(lambda x: x @ weights, images(2), jax.random.key(1))
    # At the middle pixel: like signs give |2 - 1| for colour 0 and |0.5 + 0.5| for colour 1, unlike ones 3 and 0.
    assert np.flatnonzero(field).tolist() == [8 * 16 + 8]
    assert 2 <= field[8, 8] <= 3
    assert (field[8, 8] * 6) % 1 == pytest.approx(0, abs=1e-5)


def test_the_extent_of_a_gaussian_is_its_deviation():
    rows, columns = np.indices((101, 101)) - 50
    field = np.exp(-(rows**2) / (2 * 9.0**2) - columns**2 / (2 * 6.0**2))
    extent = field_extent(field)
    assert extent["spread_pixels"] == {"vertical": pytest.approx(9, abs=1e-3), "horizontal": pytest.approx(6, abs=1e-3)}
    assert extent["centre_pixels"] == {"vertical": pytest.approx(50), "horizontal": pytest.approx(50)}
    # The level set at t of the maximum is an ellipse of area 2 pi s1 s2 ln(1 / t).
    assert extent["area_pixels"] == pytest.approx(2 * np.pi * 54 * np.log(1 / THRESHOLD), rel=0.01)
    assert extent["side_pixels"] ** 2 == pytest.approx(extent["area_pixels"])


def test_a_field_of_zeros_has_no_spread():
    assert field_extent(np.zeros((4, 4)))["spread_pixels"] is None


def test_the_picture_is_a_png(tmp_path):
    path = tmp_path / "measures" / "field.png"
    for field in (np.eye(8), np.ones((8, 8)), np.zeros((8, 8))):  # the last two have no edge to draw
        draw(field, path, "a title")
        assert path.read_bytes().startswith(b"\x89PNG")
