import numpy as np
import pytest
from drawing.patterns import bump, checkerboard, spectrogram, stripe_chirp, stripes, zone_plate


def test_a_sharp_bump_is_light_from_its_first_column_on():
    assert bump(8, first=2, width=3)[5].tolist() == [0, 0, 1, 1, 1, 0, 0, 0]


def test_a_soft_bump_passes_one_half_between_two_columns():
    row = bump(16, first=4, width=8, ramp=4)[0]
    np.testing.assert_allclose(row[2:6], [0.125, 0.375, 0.625, 0.875], rtol=1e-6)
    np.testing.assert_array_equal(row[2:6], row[13:9:-1])


def test_a_checkerboard_moves_to_the_right():
    assert checkerboard(3).tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    np.testing.assert_array_equal(checkerboard(4, shift=1)[:, 1:], checkerboard(4)[:, :-1])


def test_a_chirp_ends_with_single_pixels_in_turn_and_the_zone_plate_at_its_sides():
    row = stripe_chirp(512, rows=1)[0]
    assert np.all(row[:4] > 0.99)
    assert np.all(np.diff(np.sign(np.diff(row[-16:]))) != 0)
    plate = zone_plate(512)
    np.testing.assert_array_equal(plate, plate.T)
    np.testing.assert_allclose(plate, plate[::-1, ::-1], atol=1e-6)
    assert np.all(np.diff(np.sign(np.diff(plate[256, :12]))) != 0)
    assert plate[256, 250:262].min() > 0.9


def test_stripes_have_one_frequency():
    spectrum = np.abs(np.fft.rfft(stripes(3 / 16, 16)[0]))
    assert np.flatnonzero(spectrum > 1e-5).tolist() == [0, 3]


@pytest.mark.parametrize("image", [spectrogram(), zone_plate(32), stripe_chirp(64, 2)])
def test_values_are_brightnesses(image):
    assert image.dtype == np.float32
    assert 0 <= image.min() < 0.05
    assert 0.95 < image.max() <= 1
