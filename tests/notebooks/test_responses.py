import numpy as np
import pytest
from drawing import responses
from drawing.patterns import bump, checkerboard, stripes
from flax import nnx

from strideflax.operators.blur import BlurPool
from strideflax.operators.norm import L2Pool
from strideflax.operators.polyphase import AdaptivePolyphase
from strideflax.operators.pool import AvgPool, MaxPool
from strideflax.operators.rearrange import HaarAll, HaarLow, SpaceToDepth
from strideflax.operators.strided import StridedConv, Subsample
from strideflax.operators.table import DOWNSAMPLERS


def build(cls):
    return cls(1, padding="CIRCULAR", rngs=nnx.Rngs(0))


def test_a_random_start_is_left_out_and_the_rest_is_complete(monkeypatch):
    few = {name: DOWNSAMPLERS[name] for name in ("strided_conv", "avg_pool", "lip", "lps", "haar_low")}
    monkeypatch.setattr(responses, "DOWNSAMPLERS", few)
    settled, random = responses.settled_operators()
    assert random == ("strided_conv", "lps")
    assert list(responses.distinct(settled)) == ["avg_pool = lip = haar_low"]


def test_outputs_are_scaled_to_keep_a_constant():
    image = np.arange(16.0).reshape(1, 4, 4)
    means = [[2.5, 4.5], [10.5, 12.5]]
    for cls in (AvgPool, HaarLow):
        np.testing.assert_allclose(responses.respond(build(cls), image)[0, :, :, 0], means, rtol=1e-6)


def test_channels_become_tiles():
    board = checkerboard(4)
    expected = np.kron(np.eye(2), np.ones((2, 2)))
    np.testing.assert_array_equal(responses.picture(build(SpaceToDepth), board), expected)
    assert (
        responses.picture(build(SpaceToDepth), board, columns=1).tolist() == [[1, 1]] * 2 + [[0, 0]] * 4 + [[1, 1]] * 2
    )
    bands = responses.picture(build(HaarAll), board)  # mean 1/2, no difference along one axis, one along both
    np.testing.assert_allclose(bands, np.kron([[0.5, 0.5], [0.5, 1.0]], np.ones((2, 2))), atol=1e-6)


def test_crossings():
    values = np.array([0, 0.25, 0.75, 1, 0.5, 0])
    assert responses.crossing(values) == pytest.approx(1.5, abs=1e-5)
    assert responses.crossing(values, rising=False) == pytest.approx(4, abs=1e-5)
    assert responses.crossing(values, 0.5 + 2 * np.arange(6)) == pytest.approx(3.5, abs=1e-5)
    with pytest.raises(ValueError, match="do not rise through 1/2"):
        responses.crossing(values[::-1] * 0.4)


@pytest.mark.parametrize(
    ("cls", "rising", "falling"), [(Subsample, 0, 0), (AvgPool, 0.5, 0.5), (BlurPool, 0, 0), (MaxPool, 1, 0)]
)
def test_soft_edges_betray_the_phase(cls, rising, falling):
    found = responses.edge_phases(build(cls), bump(32, 8, 16, ramp=8), 7.5, 23.5)
    np.testing.assert_allclose(found, (rising, falling), atol=1e-4)
    np.testing.assert_allclose(np.mean(found), build(cls).phase((32, 32))[1], atol=1e-4)


@pytest.mark.parametrize(
    ("cls", "steps"),
    [
        (Subsample, (2, 0)),
        (MaxPool, (0, 2)),
        (AvgPool, (1, 1)),
        (BlurPool, (4 / 3, 2 / 3)),
        (AdaptivePolyphase, (1, 1)),
    ],
)
def test_how_far_an_edge_moves_when_the_image_moves_by_one_pixel(cls, steps):
    images = [bump(32, 10 + shift, 15) for shift in range(3)]
    np.testing.assert_allclose(responses.edge_steps(build(cls), images), steps, atol=1e-4)


def test_contrast_of_stripes_follows_the_transfer_function():
    image = stripes(6 / 32, 32)
    assert responses.contrast_kept(build(Subsample), image, 6) == pytest.approx(1, abs=1e-5)
    assert responses.contrast_kept(build(AvgPool), image, 6) == pytest.approx(np.cos(np.pi * 6 / 32), abs=1e-5)
    assert responses.contrast_kept(build(BlurPool), image, 6) == pytest.approx(np.cos(np.pi * 6 / 32) ** 2, abs=1e-5)
    assert responses.contrast_kept(build(SpaceToDepth), image, 6) == pytest.approx(1, abs=1e-5)


def test_power_adds_up_to_the_energy(random):
    images = random.random((3, 32, 32))
    spectrum = responses.power_spectrum(build(SpaceToDepth), images)
    assert spectrum.shape == (16, 16)
    assert spectrum.sum() / 256 == pytest.approx((images**2).sum() / 3 / 4, rel=1e-5)
    assert spectrum.argmax() == 8 * 16 + 8  # the mean brightness, in the middle


def test_all_contrast_of_too_fine_stripes_is_folded_and_none_of_coarse_ones():
    assert responses.alias_share(build(Subsample), stripes(12 / 32, 32)[None]) == pytest.approx(1, abs=1e-5)
    assert responses.alias_share(build(Subsample), stripes(5 / 32, 32)[None]) == pytest.approx(0, abs=1e-5)


def test_a_shift_of_fine_stripes_is_an_error_and_one_of_coarse_stripes_is_none():
    # 12 cycles fold to 4, which run backwards: error 2 |sin(pi (12 + 4) / 32)| along the columns, none along the rows.
    fine = responses.shift_error(build(Subsample), stripes(12 / 32, 32)[None])
    assert fine == pytest.approx(2 / np.sqrt(2), rel=1e-4)
    assert responses.shift_error(build(Subsample), stripes(5 / 32, 32)[None]) == pytest.approx(0, abs=1e-3)


def test_the_profile_of_several_channels_is_their_length():
    image = bump(32, 9, 15)
    expected = responses.profile(build(L2Pool), image)
    np.testing.assert_allclose(responses.profile(build(SpaceToDepth), image), expected, atol=1e-5)
    np.testing.assert_allclose(responses.profile(build(HaarAll), image), expected, atol=1e-5)


def test_a_convolution_runs_too():
    assert responses.respond(build(StridedConv), np.ones((1, 32, 32))).shape == (1, 16, 16, 1)
