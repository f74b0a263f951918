import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from strideflax.measuring.shifts import (
    BORDERS,
    agreement_of_pairs,
    consistency_of_classes,
    shift_consistency,
    shifted_classes,
    usual_shift,
    worst_case_accuracy,
)


def random_images(count=3, size=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def mean_net(images):
    """Blind to circular shifts: integer sums are exact in any order."""
    total = images.astype(jnp.int32).sum((1, 2, 3))
    return jnp.stack([total % 7, total % 5, total % 3], 1).astype(jnp.float32)


def corner_net(images):
    """Class 1 where the first pixel is white, else 0."""
    white = images[:, 0, 0, 0] == 255
    return jnp.stack([~white, white], 1).astype(jnp.float32)


def dot(row, column, size=8):
    image = np.zeros((1, size, size, 3), np.uint8)
    image[0, row, column] = 255
    return image


def test_a_net_blind_to_circular_shifts_scores_exactly_1():
    images = random_images()
    labels = np.asarray(mean_net(jnp.asarray(images)).argmax(-1))
    result = shift_consistency(mean_net, images, labels, border="circular", max_shift=3)
    assert result["consistency"] == {"1": 1.0, "2": 1.0, "3": 1.0}
    assert result["consistency_given_correct"] == {"1": 1.0, "2": 1.0, "3": 1.0}
    assert np.array_equal(result["agreement_map"], np.ones((7, 7)))


def test_a_net_that_flips_at_one_known_shift_scores_the_hand_computed_value():
    # The dot at (2, 1) reaches the first pixel by the shift (-2, -1) alone: m = 1 never, m = 2 once of 25 shifts.
    for border in ("circular", "zero"):
        result = shift_consistency(corner_net, dot(2, 1), np.array([0]), border=border, max_shift=2)
        assert result["consistency"]["1"] == 1.0
        assert result["consistency"]["2"] == pytest.approx(24 * 23 / (25 * 24), abs=1e-15)
        agreement = np.ones((5, 5))
        agreement[0, 1] = 0
        assert np.array_equal(result["agreement_map"], agreement)


def test_borders_differ_where_pixels_move_in():
    # A dot one pixel beyond the far border: only a circular shift by (1, 1) brings it to the first pixel.
    far = dot(7, 7)
    moved = {border: shifted_classes(corner_net, far, border=border, max_shift=1)[0] for border in BORDERS}
    assert np.array_equal(np.argwhere(moved["circular"]), [[2, 2]])
    assert not moved["zero"].any()
    assert not moved["crop"].any()
    # A dot at (1, 1) is mirrored to the first pixel by (1, 1) and moved there by (-1, -1); mixed shifts do both.
    mirrored = shifted_classes(corner_net, dot(1, 1), border="reflect", max_shift=1)[0]
    assert np.array_equal(np.argwhere(mirrored), [[0, 0], [0, 2], [2, 0], [2, 2]])


def test_every_shift_equals_a_plain_numpy_shift():
    images, m = random_images(2, 6), 2

    def fingerprint(images):
        weights = np.random.default_rng(1).integers(0, 50, (*images.shape[1:], 4))
        return jnp.einsum("bhwc,hwck->bk", images.astype(jnp.int32), weights) % 101

    for border, mode in BORDERS.items():
        classes = shifted_classes(fingerprint, images, border=border, max_shift=m)
        for down, right in itertools.product(range(-m, m + 1), repeat=2):
            extended = np.pad(images, ((0, 0), (m, m), (m, m), (0, 0)), mode=mode) if mode else images
            size = 6 if mode else 2
            shifted = extended[:, m - down : m - down + size, m - right : m - right + size]
            if border == "circular":
                assert np.array_equal(shifted, np.roll(images, (down, right), (1, 2)))
            assert np.array_equal(classes[:, m + down, m + right], np.asarray(fingerprint(shifted)).argmax(-1)), border


def test_batches_do_not_change_the_classes_and_progress_reaches_the_total():
    images, reports = random_images(5), []
    small = shifted_classes(
        corner_net, images, border="zero", max_shift=1, batch_size=2, progress=lambda *r: reports.append(r)
    )
    assert np.array_equal(small, shifted_classes(corner_net, images, border="zero", max_shift=1))
    assert all(done <= total == 45 for done, total in reports)
    assert reports[-1] == (45, 45)


def test_logits_that_are_no_numbers_are_refused_and_minus_infinity_is_a_class_never_chosen():
    images = random_images()

    def nan_net(images):
        return mean_net(images) * jnp.nan

    with pytest.raises(ValueError, match="logits must be finite, or -inf for some of the classes; got NaN or infinity"):
        shift_consistency(nan_net, images, max_shift=1)
    found = shifted_classes(lambda images: mean_net(images).at[:, 0].set(-jnp.inf), images, border="zero", max_shift=1)
    assert found.min() > 0


@pytest.mark.parametrize(("size", "expected"), [((32, 32), 4), ((9, 9), 4), ((8, 40), 3), ((40, 3), 1)])
def test_small_images_are_shifted_by_as_much_as_they_can_be(size, expected):
    images = np.zeros((1, *size, 1), np.uint8)
    assert usual_shift(images, 2) == expected
    classes = shifted_classes(lambda x: x.mean((1, 2)), images, border="circular", max_shift=expected)
    assert classes.shape == (1, 2 * expected + 1, 2 * expected + 1)


def test_agreement_of_pairs_by_hand():
    assert np.allclose(agreement_of_pairs(np.array([[0, 0, 1], [2, 2, 2], [0, 1, 2]])), [1 / 3, 1, 0], atol=1e-15)


def test_images_that_are_wrong_when_unshifted_do_not_count_in_the_conditional_number():
    classes = np.zeros((2, 3, 3), int)
    classes[1, 0, 0] = 1
    result = consistency_of_classes(classes, np.array([0, 5]))
    assert result["consistency_given_correct"] == {"1": 1.0}
    assert result["consistency"] == {"1": pytest.approx((1 + 8 * 7 / 72) / 2, abs=1e-15)}
    assert result["unshifted_accuracy"] == 0.5
    assert consistency_of_classes(classes, np.array([5, 5]))["consistency_given_correct"] == {"1": None}


def test_the_worst_case_is_right_at_every_shift():
    classes = np.zeros((4, 5, 5), int)
    classes[1, 0, 4] = 1  # wrong at one corner of the largest shifts alone
    classes[2, 1, 2] = 1  # wrong one row up
    classes[3] = 1  # wrong everywhere
    assert worst_case_accuracy(classes, np.zeros(4, int)) == {"0": 0.75, "1": 0.5, "2": 0.25}
    assert worst_case_accuracy(classes, np.ones(4, int)) == {"0": 0.25, "1": 0.25, "2": 0.25}


def test_the_worst_case_of_a_net_equals_a_loop_over_numpy_shifts():
    images = random_images(30)
    labels = np.asarray(mean_net(jnp.asarray(images)).argmax(-1))
    images[::3, 4, 4] = 255  # a bright pixel, which some shifts by 4 bring to the first place

    def net(images):
        return mean_net(images) + 9 * corner_net(images) @ jnp.array([[0.0, 0, 0], [0, 0, 1]])

    classes = shifted_classes(net, images, border="circular", max_shift=3)
    for m in range(4):
        right = np.ones(30, bool)
        for down, across in itertools.product(range(-m, m + 1), repeat=2):
            moved = np.roll(images, (down, across), (1, 2))
            right &= np.asarray(net(moved)).argmax(-1) == labels
        assert worst_case_accuracy(classes, labels)[str(m)] == right.mean()
    assert worst_case_accuracy(classes, labels)["3"] < worst_case_accuracy(classes, labels)["0"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"border": "mirror"}, "border must be one of circular, reflect, zero, crop, got 'mirror'"),
        ({"border": "zero", "max_shift": 0}, "max_shift must be 1 or more"),
        ({"border": "crop", "max_shift": 4}, "under half the image"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        shifted_classes(corner_net, random_images(), **options)
