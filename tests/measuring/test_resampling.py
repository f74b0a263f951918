import jax.numpy as jnp
import numpy as np

from strideflax.measuring.resampling import area_weights, fourier_shift


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_sizes_that_divide_average_blocks():
    assert np.array_equal(area_weights(4, 2), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    assert np.array_equal(area_weights(3, 3), np.eye(3))


def test_sizes_that_do_not_divide_share_pixels_by_area():
    assert np.allclose(area_weights(3, 2), np.array([[2, 1, 0], [0, 1, 2]]) / 3, atol=1e-15)
    assert np.allclose(area_weights(32, 11).sum(1), 1, atol=1e-14)


def test_fourier_shift_moves_a_wave_by_a_fraction_and_a_map_by_whole_pixels():
    places = np.arange(8)
    wave = np.cos(2 * np.pi * places / 8).astype(np.float32).reshape(1, 8, 1, 1)
    expected = np.cos(2 * np.pi * (places - 0.3) / 8)
    assert np.allclose(fourier_shift(jnp.asarray(wave), 0.3, 1)[0, :, 0, 0], expected, atol=1e-6)
    x = noise((2, 4, 6, 3))
    assert np.allclose(fourier_shift(jnp.asarray(x), 2, 2), np.roll(x, 2, 2), atol=1e-5)


def test_fourier_shift_of_numpy_arrays_keeps_their_precision():
    x = noise((2, 7, 5, 3)).astype(np.float64)
    moved = fourier_shift(x, 3, axis=1)
    assert isinstance(moved, np.ndarray)
    assert moved.dtype == np.float64
    np.testing.assert_allclose(moved, np.roll(x, 3, 1), atol=1e-14)
    # Of an odd size nothing is lost: two halves are a whole.
    np.testing.assert_allclose(fourier_shift(fourier_shift(x, 0.5, 1), 0.5, 1), np.roll(x, 1, 1), atol=1e-14)


def test_the_nyquist_frequency_of_an_even_size_keeps_its_cosine():
    stripes = np.cos(np.pi * np.arange(8)).reshape(1, 8, 1, 1)
    np.testing.assert_allclose(fourier_shift(stripes, 0.5, 1), np.zeros_like(stripes), atol=1e-15)
    np.testing.assert_allclose(fourier_shift(stripes, 1 / 3, 1), stripes / 2, atol=1e-15)
