import jax
import jax.numpy as jnp
import numpy as np
import pytest

from strideflax.config import AugmentConfig, ConfigError
from strideflax.data.augment import alternating_flips, augment, normalize

BATCH, HEIGHT, WIDTH = 400, 6, 8
KEY = 7


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Pixels that are all different from zero and from their neighbours."""
    return np.random.default_rng(0).integers(1, 256, (BATCH, HEIGHT, WIDTH, 3), np.uint8)


def changed(images: np.ndarray, *, crop: int = 0, flip: bool = False, cutout: int = 0, key: int = KEY) -> np.ndarray:
    config = AugmentConfig(crop=crop, flip=flip, cutout=cutout)
    result = jax.jit(augment, static_argnums=2)(jnp.asarray(images), jax.random.key(key), config)
    assert (result.dtype, result.shape) == (jnp.uint8, images.shape)
    return np.asarray(result)


def places(images: np.ndarray, result: np.ndarray, pad: int) -> list[tuple[int, int]]:
    """Find each image's crop by trying all of them."""
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    found = []
    for surrounded, cropped in zip(padded, result, strict=True):
        (place,) = [
            (row, column)
            for row in range(2 * pad + 1)
            for column in range(2 * pad + 1)
            if (surrounded[row : row + HEIGHT, column : column + WIDTH] == cropped).all()
        ]
        found.append(place)
    return found


def test_all_off_changes_and_costs_nothing(images):
    config = AugmentConfig(crop=0, flip=False, cutout=0)
    assert augment(images, jax.random.key(0), config) is images
    np.testing.assert_array_equal(changed(images), images)


def test_crop_takes_every_place_alike(images):
    found = places(images, changed(images, crop=2), 2)
    counts = np.zeros((5, 5))
    np.add.at(counts, tuple(np.transpose(found)), 1)
    assert counts.min() > 0
    # 400 draws from 25 places: chi-squared has 24 degrees of freedom, and exceeds 51 once in a thousand.
    assert ((counts - 16) ** 2 / 16).sum() < 51


def test_a_reflecting_crop_is_a_window_of_the_reflected_image(images):
    config = AugmentConfig(crop=3, flip=False, cutout=0, crop_padding="reflect")
    result = np.asarray(augment(jnp.asarray(images[:40]), jax.random.key(KEY), config))
    padded = np.pad(images[:40], ((0, 0), (3, 3), (3, 3), (0, 0)), mode="reflect")
    with_zeros = places(images[:40], changed(images[:40], crop=3), 3)
    for surrounded, cropped, (row, column) in zip(padded, result, with_zeros, strict=True):  # at the same places
        np.testing.assert_array_equal(cropped, surrounded[row : row + HEIGHT, column : column + WIDTH])


def test_flips_that_are_given_are_the_ones_made(images):
    config = AugmentConfig(crop=0, flip=True, cutout=0, alternate_flips=True)
    mirrored = np.arange(BATCH) % 3 == 0
    result = np.asarray(augment(jnp.asarray(images), jax.random.key(KEY), config, jnp.asarray(mirrored)))
    expected = np.stack([image[:, ::-1] if flip else image for image, flip in zip(images, mirrored, strict=True)])
    np.testing.assert_array_equal(result, expected)


def test_flips_can_t_alternate_where_there_are_none():
    with pytest.raises(
        ConfigError, match=r"augment\.alternate_flips must be false where config\.augment\.flip is false"
    ):
        AugmentConfig(crop=0, flip=False, cutout=0, alternate_flips=True)


def test_alternating_flips_show_each_image_both_ways_in_two_epochs():
    key, order = jax.random.key(KEY), np.random.default_rng(0).permutation(1000)
    flips = jax.jit(alternating_flips)
    epochs = [np.asarray(flips(key, jnp.arange(1000), jnp.int32(epoch))) for epoch in range(4)]
    np.testing.assert_array_equal(epochs[1], ~epochs[0])
    np.testing.assert_array_equal(epochs[2], epochs[0])
    np.testing.assert_array_equal(epochs[3], epochs[1])
    assert 420 < epochs[0].sum() < 580  # five standard deviations
    np.testing.assert_array_equal(flips(key, jnp.asarray(order), jnp.int32(0)), epochs[0][order])  # whatever the order
    assert (np.asarray(flips(jax.random.key(8), jnp.arange(1000), jnp.int32(0))) != epochs[0]).mean() > 0.4


def test_flip_mirrors_half_of_the_images(images):
    result = changed(images, flip=True)
    mirrored = (result == images[:, :, ::-1]).all((1, 2, 3))
    kept = (result == images).all((1, 2, 3))
    assert (mirrored ^ kept).all()
    assert 150 < mirrored.sum() < 250  # five standard deviations


def test_cutout_sets_one_square_to_the_mean_colour(images):
    side = 3
    result = changed(images, cutout=side)
    mean = np.round(images.astype(np.float32).mean((1, 2)))
    corners = set()
    for image, after, colour in zip(images, result, mean, strict=True):
        hit = (after == colour).all(-1)
        rows, columns = np.flatnonzero(hit.any(1)), np.flatnonzero(hit.any(0))
        expected = image.copy()
        expected[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = colour
        np.testing.assert_array_equal(after, expected)  # a full rectangle and nothing else
        assert len(rows) == side or rows[0] == 0 or rows[-1] == HEIGHT - 1
        assert len(columns) == side or columns[0] == 0 or columns[-1] == WIDTH - 1
        corners.add((rows[0], rows[-1], columns[0], columns[-1]))
    assert len(corners) == HEIGHT * WIDTH  # the centre may be any pixel


def test_cutout_larger_than_the_image_is_clipped(images):
    result = changed(images, cutout=32)
    for image, after in zip(images, result, strict=True):
        np.testing.assert_array_equal(
            after, np.broadcast_to(np.round(image.astype(np.float32).mean((0, 1))), after.shape)
        )


def test_each_has_its_own_stream(images):
    """Switching one on leaves the others where they were."""
    flips = (changed(images, flip=True) != images).any((1, 2, 3))
    crops = places(images, changed(images, crop=2), 2)
    both = changed(images, crop=2, flip=True)
    unflipped = np.where(flips[:, None, None, None], both[:, :, ::-1], both)
    assert places(images, unflipped, 2) == crops


def test_streams_are_independent(images):
    # 3 places and 6 rows: the same random bits would show, as the remainder by 3 follows from that by 6.
    crop_rows = np.array(places(images, changed(images, crop=1), 1))[:, 0]
    flips = (changed(images, flip=True) != images).any((1, 2, 3))
    squares = (changed(images, cutout=3) != images).any((2, 3))
    square_rows = (squares * np.arange(HEIGHT)).sum(1) / squares.sum(1)
    correlation = np.corrcoef([crop_rows, flips, square_rows])
    assert abs(correlation - np.eye(3)).max() < 0.2  # four standard deviations


def test_the_key_decides(images):
    options = {"crop": 2, "flip": True, "cutout": 3}
    np.testing.assert_array_equal(changed(images, **options), changed(images, **options))
    assert (changed(images, **options, key=8) != changed(images, **options)).any((1, 2, 3)).mean() > 0.9


def test_normalize_by_hand():
    images = np.array([[[[0, 51, 255]]]], np.uint8)
    result = normalize(jnp.asarray(images), (0.5, 0.2, 0.0), (0.25, 0.5, 2.0))
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result[0, 0, 0], [-2.0, 0.0, 0.5], atol=1e-7)


def test_normalized_images_have_mean_zero_and_deviation_one(images):
    mean, std = (images / 255).mean((0, 1, 2)), (images / 255).std((0, 1, 2))
    result = np.asarray(normalize(jnp.asarray(images), tuple(mean), tuple(std)), np.float64)
    np.testing.assert_allclose(result, (images / 255 - mean) / std, rtol=1e-5, atol=1e-6)


def test_normalize_rounds_once_to_bfloat16(images):
    arguments = (jnp.asarray(images), (0.5, 0.4, 0.3), (0.2, 0.3, 0.25))
    result = normalize(*arguments, dtype=jnp.bfloat16)
    assert result.dtype == jnp.bfloat16
    np.testing.assert_array_equal(result, normalize(*arguments).astype(jnp.bfloat16))
