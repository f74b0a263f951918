import io
import re

import numpy as np
import pytest
from PIL import Image

from strideflax.measuring.corruptions import CORRUPTIONS, SEVERITIES, corrupt


@pytest.fixture(scope="module")
def images():
    """Random images with the falling spectrum of photographs."""
    noise = np.fft.fft2(np.random.default_rng(0).normal(size=(12, 32, 32, 3)), axes=(1, 2))
    frequencies = np.hypot(*np.meshgrid(*[np.fft.fftfreq(32, 1 / 32)] * 2))[None, :, :, None]
    smooth = np.fft.ifft2(noise / np.maximum(frequencies, 1), axes=(1, 2)).real
    return np.clip(128 + 45 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def distance(images, name, severity):
    return np.abs(corrupt(images, name, severity).astype(float) - images).mean()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_keeps_shape_and_type_and_leaves_its_input(images, name):
    before = images.copy()
    for severity in SEVERITIES:
        corrupted = corrupt(images, name, severity)
        assert corrupted.dtype == np.uint8
        assert corrupted.shape == images.shape
    assert np.array_equal(images, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_severity_is_monotone(images, name):
    distances = [distance(images, name, severity) for severity in SEVERITIES]
    assert distances[0] > 0.2
    assert np.all(np.diff(distances) > 0)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_seed_gives_the_same_bytes_and_the_first_images_do_not_depend_on_the_number(images, name):
    corrupted = corrupt(images, name, 3)
    assert np.array_equal(corrupted, corrupt(images, name, 3))
    assert np.array_equal(corrupted[:5], corrupt(images[:5], name, 3))


RANDOM = ("gaussian_noise", "shot_noise", "impulse_noise", "motion_blur", "translation")


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_another_seed_changes_what_is_random_and_nothing_else(images, name):
    assert np.array_equal(corrupt(images, name, 3), corrupt(images, name, 3, seed=1)) == (name not in RANDOM)


@pytest.mark.parametrize("name", ["defocus_blur", "motion_blur", "pixelate", "contrast", "translation"])
def test_a_constant_image_stays(name):
    constant = np.full((2, 32, 32, 3), (10, 130, 250), np.uint8)
    assert np.array_equal(corrupt(constant, name, 5), constant)


def test_noise_has_its_stated_size():
    grey = np.full((40, 32, 32, 3), 128, np.uint8)
    for severity, share in ((1, 0.04), (5, 0.12)):
        assert corrupt(grey, "gaussian_noise", severity).std() == pytest.approx(255 * share, rel=0.02)
    # Poisson: variance equals mean, so 128 / 255 * photons of them spread by the root of that.
    assert corrupt(grey, "shot_noise", 5).std() == pytest.approx(255 / 40 * np.sqrt(40 * 128 / 255), rel=0.02)
    assert corrupt(grey, "shot_noise", 5).mean() == pytest.approx(128, abs=0.5)
    hit = corrupt(grey, "impulse_noise", 5)
    assert (hit == 0).mean() == pytest.approx(0.06, abs=0.004)
    assert (hit == 255).mean() == pytest.approx(0.06, abs=0.004)
    assert set(np.unique(hit)) == {0, 128, 255}


def test_translation_is_exact():
    images = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    for severity, pixels in zip(SEVERITIES, (1, 2, 3, 4, 6), strict=True):
        moved, seen = corrupt(images, "translation", severity), set()
        inner = slice(pixels, 16 - pixels)
        for before, after in zip(images, moved, strict=True):
            ways = [
                (down, right)
                for down in (-pixels, pixels)
                for right in (-pixels, pixels)
                if np.array_equal(np.roll(before, (down, right), (0, 1))[inner, inner], after[inner, inner])
            ]
            assert len(ways) == 1
            seen.add(ways[0])
        assert len(seen) == 4


def test_translation_mirrors_what_moves_in():
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    # Down and right by 1, or another of the four ways: a mirrored border repeats line 1, not the edge pixel.
    ways = [np.pad(image[0, ..., 0], 1, mode="reflect")[r : r + 4, c : c + 4] for r in (0, 2) for c in (0, 2)]
    assert any(np.array_equal(corrupt(image, "translation", 1)[0, ..., 0], way) for way in ways)


def test_brightness_and_contrast_by_hand():
    image = np.array([0, 100, 200, 250], np.uint8).reshape(1, 2, 2, 1)
    assert corrupt(image, "brightness", 5).ravel().tolist() == [102, 202, 255, 255]
    # The mean is 137.5; 15 % of the distance to it stays.
    assert corrupt(image, "contrast", 5).ravel().tolist() == [117, 132, 147, 154]


def test_a_blurred_point_keeps_its_mean_and_its_shape():
    point = np.zeros((1, 15, 15, 1), np.uint8)
    point[0, 7, 7] = 255
    disc = corrupt(point, "defocus_blur", 5)[0, ..., 0].astype(float)
    assert np.array_equal(disc, disc.T)
    assert np.array_equal(disc, disc[::-1])
    assert disc[7, 4] == 0
    assert disc.sum() == pytest.approx(255, abs=8)  # rounding
    line = corrupt(np.repeat(point, 10, 0), "motion_blur", 5)[..., 0].astype(float)
    assert np.allclose(line.sum((1, 2)), 255, atol=12)
    rows, columns = np.indices((15, 15)) - 7
    length = np.sqrt((line * (rows**2 + columns**2)).sum((1, 2)) / line.sum((1, 2)))
    assert np.all((length > 1.5) & (length < 2.3))  # of a line of 7 pixels: 6 / sqrt(12) = 1.73, and interpolation


def test_pixelating_to_cells_that_divide_repeats_block_means():
    image = np.random.default_rng(0).integers(0, 256, (1, 20, 20, 3), np.uint8)  # severity 2: 15 cells; 5: 9 cells
    cells = corrupt(image, "pixelate", 2)[0]
    places = ((np.arange(20) + 0.5) * 15 / 20).astype(int)
    assert all(np.array_equal(cells[i], cells[j]) for i in range(20) for j in range(20) if places[i] == places[j])
    assert len(np.unique(cells[:, 0, 0])) <= 15
    by_hand = (image[0, 0, 0] * 9.0 + image[0, 0, 1] * 3.0 + image[0, 1, 0] * 3.0 + image[0, 1, 1]) / 16
    assert np.allclose(cells[0, 0], by_hand, atol=0.51)  # a cell of 4/3 pixels: weights 3/4 and 1/4


def test_jpeg_is_pillows(images):
    file = io.BytesIO()
    Image.fromarray(images[2]).save(file, "JPEG", quality=40)
    assert np.array_equal(corrupt(images, "jpeg", 3)[2], np.asarray(Image.open(file)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fog", 1), "corruption must be one of gaussian_noise, shot_noise"),
        (("jpeg", 6), "severity must be one of (1, 2, 3, 4, 5), got 6"),
    ],
)
def test_wrong_arguments_are_named(images, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        corrupt(images, *arguments)
    with pytest.raises(ValueError, match="images must be uint8"):
        corrupt(images.astype(float), "jpeg", 1)
