import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from strideflax.measuring.aliasing import alias_energies, low_pass, shift_energies, site_aliasing
from strideflax.operators.polyphase import AdaptivePolyphase
from strideflax.operators.pool import MaxPool
from strideflax.operators.strided import StridedConv, Subsample


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def waves(size, rows, columns):
    """A sum of cosines with random phases, ``rows`` x ``columns`` the frequencies used, ``[1, size, size, 1]``."""
    generator, (i, j) = np.random.default_rng(2), np.indices((size, size))
    parts = [np.cos(2 * np.pi * (u * i + v * j) / size + generator.uniform(0, 6)) for u in rows for v in columns]
    return np.sum(parts, 0, dtype=np.float32)[None, :, :, None]


def share(x, stride, phase=None):
    part, whole = alias_energies(jnp.asarray(x), stride, phase)
    return float(part / whole)


def test_an_ideally_low_passed_image_has_no_alias_energy():
    assert share(waves(16, (0, 1, 3, 4), (-4, -2, 0, 1)), (2, 2)) < 1e-12
    assert share(low_pass(jnp.asarray(noise((2, 15, 16, 3))), (2, 3)), (2, 3)) < 1e-12


def test_an_image_of_high_frequencies_alone_is_all_alias():
    assert share(waves(16, (5, 6, 7), (0, 1)), (2, 2)) == pytest.approx(1, abs=1e-6)
    assert share(waves(16, (0, 1), (5, 7)), (2, 2)) == pytest.approx(1, abs=1e-6)


def test_the_alias_set_is_a_square_and_not_a_disc():
    assert share(waves(16, (4,), (4,)), (2, 2)) < 1e-12  # the corner lies outside the disc


def test_an_axis_without_a_stride_does_not_alias():
    x = waves(16, (0, 1), (5, 7))
    assert share(x, (2, 1)) < 1e-12
    assert share(x, (1, 2)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("size", "stride"), [((32, 32), (2, 2)), ((31, 32), (2, 2)), ((32, 30), (1, 3))])
def test_white_noise_has_the_analytic_amount(size, stride):
    kept = [(2 * (n // (2 * s)) + 1) / n if s > 1 else 1 for n, s in zip(size, stride, strict=True)]
    assert share(noise((64, *size, 4)), stride) == pytest.approx(1 - np.prod(kept), abs=5e-3)


def test_an_adaptive_phase_is_the_one_that_is_read():
    x = np.array([5.0, 1, 2, 8, 0, 3, 9, 4], np.float32).reshape(1, 1, 8, 1)
    kept = np.fft.fft(x[0, 0, :, 0]) * (abs(np.fft.fftfreq(8, 1 / 8)) <= 2)
    aliased = x[0, 0, :, 0] - np.fft.ifft(kept).real
    for phase in (0, 1):
        by_hand = (aliased[phase::2] ** 2).sum() / (x[0, 0, phase::2, 0] ** 2).sum()
        assert share(x, (1, 2), jnp.array([phase])) == pytest.approx(by_hand, rel=1e-5)
    assert share(x, (1, 2)) == share(x, (1, 2), jnp.array([0]))


def test_shift_errors_vanish_without_aliasing_and_for_whole_strides():
    smooth = jnp.asarray(waves(16, (0, 1, 3), (-2, 0, 1)))
    energies = shift_energies(Subsample(1, stride=2), smooth)
    assert energies.one_pixel < 1e-8 * energies.output
    assert energies.whole_stride == 0
    rough = shift_energies(Subsample(1, stride=2), jnp.asarray(noise((4, 16, 16, 1))))
    assert rough.one_pixel > rough.output
    assert rough.whole_stride == 0


def test_the_error_under_a_shift_by_hand():
    # Rows are equal, columns alternate 1, 0: kept columns are all 1, after a shift all 0; the rows' shift does nothing.
    x = jnp.asarray(np.tile([1.0, 0.0], (1, 4, 2))[..., None], jnp.float32)
    energies = shift_energies(Subsample(1, stride=2), x)
    assert [float(e) for e in energies] == pytest.approx([4.0, 0.0, 8.0], abs=1e-5)


def test_an_adaptive_operator_is_free_of_shift_errors_where_its_grid_follows():
    energies = shift_energies(AdaptivePolyphase(3, stride=(2, 3)), jnp.asarray(noise((4, 8, 9, 3))))
    assert float(energies.one_pixel) < 1e-9 * float(energies.output)
    assert float(energies.whole_stride) == 0


class Net(nnx.Module):
    def __init__(self, *layers):
        self.layers = nnx.List(layers)

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x, index=layer.select(x))
        return x


def test_a_model_is_measured_site_by_site_over_all_batches():
    conv = StridedConv(2, 3, stride=2, padding="CIRCULAR", rngs=nnx.Rngs(0))
    pool = MaxPool(3, stride=(2, 1))
    x = noise((6, 8, 8, 2))
    result = site_aliasing(Net(conv, pool), [jnp.asarray(x[:3]), jnp.asarray(x[3:])])
    assert [(site["operator"], site["stride"]) for site in result.values()] == [
        ("StridedConv", [2, 2]),
        ("MaxPool", [2, 1]),
    ]
    expected = share(conv.dense(jnp.asarray(x)), (2, 2)), share(pool.dense(conv(jnp.asarray(x))), (2, 1))
    assert [site["alias_energy"] for site in result.values()] == pytest.approx(expected, rel=1e-5)
    assert result["layers/0"]["whole_stride_shift_error"] == pytest.approx(0, abs=1e-6)
    energies = shift_energies(conv, jnp.asarray(x))
    error = float(np.sqrt(energies.one_pixel / energies.output))
    assert result["layers/0"]["one_pixel_shift_error"] == pytest.approx(error, rel=1e-5)


class NoFilter(Subsample):
    def dense(self, x):
        raise TypeError


def test_an_operator_without_a_dense_map_says_why_it_has_no_number():
    site = site_aliasing(Net(NoFilter(1, stride=2)), [jnp.ones((1, 4, 4, 1))])["layers/0"]
    assert site["alias_energy"] is None
    assert site["reason"] == "NoFilter is not a filter followed by subsampling"
    assert site["one_pixel_shift_error"] == pytest.approx(0, abs=1e-6)
