import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from operators import reference

from strideflax import daubechies, haar_all, spline_wavelet, wavelet_all, wavelet_low, wavelet_upsample
from strideflax.operators import Bior33Low, Db2All, Db2Low

WAVELETS = {
    "db1": daubechies(1),
    "db2": daubechies(2),
    "db5": daubechies(5),
    "bior1.3": spline_wavelet(1, 3),
    "bior2.2": spline_wavelet(2, 2),
    "bior3.3": spline_wavelet(3, 3),
}
every_wavelet = pytest.mark.parametrize("name", list(WAVELETS))


@pytest.mark.parametrize("moments", range(1, 11))
def test_daubechies_filters_are_orthonormal_and_have_their_moments(moments):
    wavelet = daubechies(moments)
    taps = np.array(wavelet.low.taps)
    assert len(taps) == 2 * moments
    for shift in range(moments):
        assert taps[2 * shift :] @ taps[: len(taps) - 2 * shift] == pytest.approx(float(shift == 0), abs=1e-9)
    high = np.array(wavelet.down()[1].taps)
    for power in range(moments):
        assert high @ (np.arange(len(high)) / len(high)) ** power == pytest.approx(0, abs=1e-7)
    assert taps.sum() == pytest.approx(np.sqrt(2))
    assert 0 <= wavelet.low.middle <= 1


def test_known_filters():
    root = np.sqrt(3)
    np.testing.assert_allclose(
        daubechies(2).low.taps, np.array([1 + root, 3 + root, 3 - root, 1 - root]) / (4 * np.sqrt(2)), rtol=1e-12
    )
    np.testing.assert_allclose(
        np.array(spline_wavelet(2, 2).low.taps) / np.sqrt(2), np.array([-1, 2, 6, 2, -1]) / 8, rtol=1e-12
    )
    np.testing.assert_allclose(
        np.array(spline_wavelet(3, 3).low.taps) / np.sqrt(2), np.array([3, -9, -7, 45, 45, -7, -9, 3]) / 64, rtol=1e-12
    )


def bands_of(x, wavelet, padding):
    """Correlate with the outer products of the filters, each placed by hand, and keep every second pixel."""
    found = []
    for pair in itertools.product(wavelet.down(), repeat=x.ndim - 2):
        kernel = np.ones(())
        pads = []
        for f in pair:
            kernel = np.multiply.outer(kernel, f.taps)
            pads.append((-f.first, len(f.taps) + f.first - 2))
        mode = {"CIRCULAR": "wrap", "REFLECT": "reflect", "SAME": "constant"}[padding]
        padded = np.pad(x, ((0, 0), *pads, (0, 0)), mode=mode)
        channels = x.shape[-1]
        depthwise = np.repeat(kernel[..., None, None], channels, axis=-1)
        strides, ones = (2,) * len(pair), (1,) * len(pair)
        found.append(reference.conv(padded, depthwise, strides, "VALID", ones, groups=channels))
    return np.concatenate(found, axis=-1)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("name", "size", "padding"),
    [
        ("db2", (8, 6), "CIRCULAR"),
        ("bior3.3", (8, 10), "REFLECT"),
        ("bior2.2", (6,), "SAME"),
        ("db5", (12,), "CIRCULAR"),
    ],
)
def test_bands_are_correlations_with_the_filters(name, size, padding, random):
    x = random.normal(size=(2, *size, 3))
    expected = bands_of(x, WAVELETS[name], padding)
    np.testing.assert_allclose(wavelet_all(x, WAVELETS[name], padding=padding), expected, rtol=1e-11, atol=1e-12)
    low = wavelet_low(x, WAVELETS[name], padding=padding)
    np.testing.assert_allclose(low, expected[..., :3], rtol=1e-11, atol=1e-12)


@pytest.mark.usefixtures("float64")
@every_wavelet
def test_the_way_back_is_exact_on_a_circle(name, random):
    x = random.normal(size=(2, 8, 6, 2))
    bands = wavelet_all(x, WAVELETS[name])
    np.testing.assert_allclose(wavelet_upsample(bands, WAVELETS[name]), x, atol=1e-10)
    if name.startswith("db"):
        np.testing.assert_allclose((bands**2).sum(), (x**2).sum(), rtol=1e-9)


def test_one_moment_is_haar(random):
    x = jnp.asarray(random.normal(size=(2, 5, 6, 2)), jnp.float32)
    np.testing.assert_allclose(wavelet_all(x, daubechies(1), padding="SAME"), haar_all(x, padding="SAME"), atol=1e-6)


@pytest.mark.usefixtures("float64")
def test_gradients_against_differences(random):
    x = jnp.asarray(random.normal(size=(1, 5, 4, 1)))
    low = jax.jit(lambda x: wavelet_low(x, stride=(2, 1), padding="REFLECT"))
    back = jax.jit(lambda x: wavelet_upsample(x, spline_wavelet(2, 2), stride=(1, 1)))
    for function in (low, back):
        check_grads(function, (x,), order=1, modes=["rev"])


@pytest.mark.parametrize(("cls", "factor", "taps"), [(Db2Low, 1, 8), (Db2All, 4, 8), (Bior33Low, 1, 16)])
def test_modules_are_the_functions_and_sample_a_dense_map(cls, factor, taps, random):
    x = jnp.asarray(random.normal(size=(2, 9, 8, 3)), jnp.float32)
    layer = cls(3, padding="REFLECT")
    y = layer(x)
    expected = (wavelet_all if cls is Db2All else wavelet_low)(x, layer.wavelet, padding="REFLECT")
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_allclose(layer.dense(x)[:, ::2, ::2], y, rtol=1e-5, atol=1e-6)
    (one,) = layer.passes((9, 8))
    assert one.macs((9, 8)) == 20 * taps * 3 * factor


@pytest.mark.parametrize("cls", [Db2Low, Bior33Low])
def test_phase_is_where_a_ramp_is_read(cls):
    ramp = jnp.broadcast_to(jnp.arange(20.0)[None, :, None, None], (1, 20, 20, 1))
    y = cls(1)(ramp) / 2
    places = 2 * np.arange(10) + cls(1).phase((20, 20))[0]
    np.testing.assert_allclose(y[0, 3:7, 4, 0], places[3:7], rtol=1e-5)


def test_wrong_arguments_are_refused():
    x = jnp.ones((1, 6, 6, 3))
    with pytest.raises(ValueError, match="moments must be at most 10, got 11"):
        daubechies(11)
    with pytest.raises(ValueError, match="back and moments must both be even or both be odd, got 2 and 3"):
        spline_wavelet(2, 3)
    with pytest.raises(ValueError, match="stride of a wavelet must be 1 or 2 on each axis, got 3"):
        wavelet_low(x, stride=3)
    with pytest.raises(ValueError, match=r"padding must be one of SAME, .* got 'VALID'"):
        wavelet_all(x, padding="VALID")
    with pytest.raises(ValueError, match="channels must be a multiple of 4 bands, got 3"):
        wavelet_upsample(x)
