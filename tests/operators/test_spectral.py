import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from strideflax import asap_pool, diff_stride, spectral_pool
from strideflax.operators.receptive_field import receptive_fields
from strideflax.operators.spectral import ASAP, DiffStride, SpectralPool, soft_mask

pooled = jax.jit(spectral_pool, static_argnames="stride")
masked = jax.jit(diff_stride, static_argnames=("stride", "ramp"))


def fourier_crop(x, stride, masks=None):
    """Transform, keep the centre, transform back: one axis after the other, in complex numbers."""
    for axis, s in enumerate(stride, start=1):
        n = x.shape[axis]
        o = -(-n // s)
        spectrum = np.moveaxis(np.fft.fft(x, axis=axis), axis, -1)
        kept = np.zeros((*spectrum.shape[:-1], o), complex)
        for k in range(-(o // 2), o // 2 + 1):
            weight = 1.0 if masks is None or s == 1 else masks[axis - 1][abs(k)]
            kept[..., k % o] += weight * spectrum[..., k % n] * (0.5 if 2 * abs(k) == o else 1)
        y = np.fft.ifft(kept, axis=-1) * o / n
        assert np.abs(y.imag).max() < 1e-12
        x = np.moveaxis(y.real, -1, axis)
    return x


def soft_edge(n, learned, ramp=4.0):
    """clip((R + P - k) / R, 0, 1) with the mask's end, R + P, at the Nyquist frequency of the learned stride."""
    end = n / (2 * min(max(learned, 1), n))
    ramp = min(ramp, end)
    return [min(max((ramp + (end - ramp) - k) / ramp, 0), 1) for k in range(n // 2 + 1)]


def waves(size, amplitudes):
    """Sample sum a cos(2 pi (u y + v x) + phase), image frequencies (u, v), at ``size`` points of one period."""
    y, x = (np.arange(n) / n for n in size)
    image = np.zeros(size)
    for (u, v), (a, phase) in amplitudes.items():
        image += a * np.cos(2 * np.pi * (u * y[:, None] + v * x) + phase)
    return image[None, ..., None]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("size", "stride"), [((8, 12), (2, 2)), ((9, 7), (2, 3)), ((10, 6), (3, 1)), ((6, 5), (4, 2)), ((1, 2), (2, 2))]
)
def test_it_is_a_crop_in_the_fourier_domain(size, stride, random):
    x = random.normal(size=(2, *size, 3))
    np.testing.assert_allclose(pooled(x, stride=stride), fourier_crop(x, stride), rtol=1e-12, atol=1e-13)


def test_by_hand():
    """[4 0 0 0] holds the frequencies 0, +-1, 2 with weight 1 each; two pixels keep 0 and the mean of +-1."""
    np.testing.assert_allclose(spectral_pool(jnp.array([4.0, 0, 0, 0]).reshape(1, 4, 1))[0, :, 0], [2, 0], atol=1e-6)
    np.testing.assert_allclose(spectral_pool(jnp.array([0.0, 4, 0, 0]).reshape(1, 4, 1))[0, :, 0], [1, 1], atol=1e-6)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("size", "stride", "out"), [((16, 12), 2, (8, 6)), ((15, 9), 2, (8, 5)), ((12, 9), 3, (4, 3))])
def test_a_band_limited_image_is_sampled_exactly(size, stride, out):
    low = {(0, 0): (0.7, 0.0), (1, 0): (1.0, 0.3), (0, 1): (0.5, 1.1), (1, -1): (2.0, 0.4), (1, 1): (0.9, 2.0)}
    y = pooled(waves(size, low), stride=stride)
    np.testing.assert_allclose(y, waves(out, low), rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("float64")
def test_what_is_above_the_new_nyquist_frequency_is_gone_and_what_is_on_it_is_halved():
    assert np.abs(pooled(waves((16, 16), {(5, 0): (1, 0.2), (7, 6): (1, 0)}), stride=2)).max() < 1e-13
    y = pooled(waves((16, 16), {(4, 0): (1, 0.0)}), stride=2)
    np.testing.assert_allclose(y[0, :, 0, 0], 0.5 * (-1.0) ** np.arange(8), atol=1e-13)


@pytest.mark.usefixtures("float64")
def test_shifting_by_the_stride_shifts_the_output_and_mirroring_mirrors_it(random):
    x = random.normal(size=(1, 12, 8, 2))
    y = pooled(x, stride=2)
    np.testing.assert_allclose(pooled(np.roll(x, (2, -4), (1, 2)), stride=2), np.roll(y, (1, -2), (1, 2)), atol=1e-13)
    mirrored = np.roll(x[:, ::-1], 1, 1)  # about pixel 0, which is where output 0 lies
    np.testing.assert_allclose(pooled(mirrored, stride=2), np.roll(y[:, ::-1], 1, 1), atol=1e-13)


def test_a_constant_stays_that_constant():
    for dtype in (jnp.float32, jnp.bfloat16):
        x = jnp.full((1, 7, 8, 1), 3, dtype)
        for y in (pooled(x, stride=2), masked(x, jnp.array([2.7, 9.0]), stride=2)):
            assert y.dtype == dtype
            np.testing.assert_allclose(y.astype(jnp.float32), np.full((1, 4, 4, 1), 3.0), rtol=1e-6)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("size", "stride", "learned", "ramp"), [
    ((16, 32), (2, 2), (2.0, 2.0), 4.0), ((15, 24), (2, 3), (3.1, 2.3), 4.0), ((12, 9), (2, 2), (0.2, 30.0), 2.5),
    ((9, 16), (1, 2), (1.0, 1.4), 4.0),
])  # fmt: skip
def test_diff_stride_weights_the_frequencies(size, stride, learned, ramp, random):
    x = random.normal(size=(2, *size, 3))
    masks = [soft_edge(n, s, ramp) for n, s in zip(size, learned, strict=True)]
    y = masked(x, jnp.array(learned), stride=stride, ramp=ramp)
    np.testing.assert_allclose(y, fourier_crop(x, stride, masks), rtol=1e-12, atol=1e-13)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("size", "stride"), [((8, 12), (2, 2)), ((9, 7), (2, 3)), ((10, 6), (3, 1))])
def test_asap_weights_the_frequencies_by_the_root_of_a_hamming_window(size, stride, random):
    x = random.normal(size=(2, *size, 3))
    masks = [np.sqrt(0.54 + 0.46 * np.cos(2 * np.pi * np.arange(n // 2 + 1) / n)) for n in size]
    np.testing.assert_allclose(asap_pool(x, stride), fourier_crop(x, stride, masks), rtol=1e-12, atol=1e-13)


def test_asap_rings_less_at_an_edge():
    edge = (jnp.arange(32) >= 16).astype(jnp.float32).reshape(1, 32, 1)
    beyond = []
    for pool in (spectral_pool, asap_pool):
        y = pool(edge)
        beyond.append(float(jnp.abs(y - y.clip(0, 1)).sum()))
    assert 0 < beyond[1] < 0.75 * beyond[0]


def test_the_mask_by_hand():
    """32 pixels at stride 2 pass up to frequency 8: whole up to 4, then 3/4, 1/2, 1/4, 0. Eight: a short ramp."""
    np.testing.assert_allclose(soft_mask(32, jnp.array(2.0))[:10], [1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0, 0])
    np.testing.assert_allclose(soft_mask(8, jnp.array(2.0)), [1, 0.5, 0, 0, 0])


@pytest.mark.usefixtures("float64")
def test_gradients(random):
    x = jnp.asarray(random.normal(size=(1, 16, 12, 1)))
    check_grads(lambda x: pooled(x, stride=2), (x,), order=1)
    check_grads(lambda x, s: masked(x, s, stride=2), (x, jnp.array([2.2, 1.7])), order=1)


def test_diff_stride_starts_at_its_stride_and_learns_it(random):
    x = jnp.asarray(random.normal(size=(2, 16, 12, 3)), jnp.float32)
    operator = DiffStride(3, stride=(2, 1), rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(operator.learned_stride[...], [2, 1])
    gradient = nnx.grad(lambda operator: (operator(x) ** 2).sum())(operator).learned_stride[...]
    assert gradient[0] < 0  # a larger stride passes less
    assert gradient[1] == 0  # that axis keeps its size and is left alone
    operator.learned_stride[...] = jnp.array([1.0, 1.0])
    np.testing.assert_allclose(operator(x), spectral_pool(x, (2, 1)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cls", [SpectralPool, ASAP, DiffStride])
def test_the_modules_sample_a_dense_map_and_see_all_of_it(cls, random):
    x = jnp.asarray(random.normal(size=(2, 12, 9, 3)), jnp.float32)
    for padding in ("SYMMETRIC", "REFLECT"):  # all the same: there is no border
        operator = cls(3, stride=(2, 3), padding=padding, rngs=nnx.Rngs(0))
        y = operator(x)
        assert y.shape == (2, 6, 3, 3)
        np.testing.assert_allclose(operator.dense(x)[:, ::2, ::3], y, rtol=1e-5, atol=1e-5)
        assert operator.phase((12, 9)) == (0, 0)
        assert [f.size for f in receptive_fields(operator.passes((12, 9)))] == [13, 9]  # pixels -6 and 6 are the same
        rows, columns = operator.passes((12, 9))
        assert rows.macs((12, 9)) == 12 * (6 * 9) * 3
        assert columns.macs((6, 9)) == 9 * (6 * 3) * 3
    np.testing.assert_array_equal(SpectralPool(3, stride=(2, 3))(x), spectral_pool(x, (2, 3)))


def test_wrong_arguments_are_refused():
    x = jnp.ones((1, 4, 4, 1))
    with pytest.raises(ValueError, match="stride must be an int >= 1"):
        spectral_pool(x, (2, 0))
    with pytest.raises(ValueError, match=r"learned must hold one stride for each of 2 axes, got shape \(3,\)"):
        diff_stride(x, jnp.ones(3))
    with pytest.raises(ValueError, match="ramp must be a number > 0, got 0"):
        diff_stride(x, jnp.ones(2), ramp=0)
    with pytest.raises(ValueError, match="SpectralPool has no window to choose"):
        SpectralPool(1, window=3)


def test_no_images_are_no_error():
    assert spectral_pool(np.zeros((0, 6, 6, 2), np.float32)).shape == (0, 3, 3, 2)
