"""The rules that split images, against their definitions."""

import numpy as np
import pytest

from strideflax.data.near_duplicates import DISTANCE, near_duplicate_groups
from strideflax.data.splitting import choose, shuffled, stratified_order


def test_groups_are_chains_of_near_duplicates(random):
    """Against all pairs and a walk along them; the 200 hashes are near each other around 40 centres."""
    centres = random.integers(0, 2**63, 40, np.uint64)
    flips = np.uint64(1) << random.integers(0, 64, (200, 2)).astype(np.uint64)
    hashes = centres[random.integers(0, 40, 200)] ^ flips[:, 0] ^ flips[:, 1]
    near = np.bitwise_count(hashes[:, None] ^ hashes[None]) <= DISTANCE
    expected = np.full(200, -1)
    for start in range(200):
        waiting = [start] if expected[start] < 0 else []
        while waiting:
            image = waiting.pop()
            expected[image] = start
            waiting += [other for other in np.flatnonzero(near[image]) if expected[other] < 0]
    groups = near_duplicate_groups(hashes)
    np.testing.assert_array_equal(groups[:, None] == groups[None], expected[:, None] == expected[None])
    assert 1 < len(np.unique(groups)) < 200


def test_without_groups_the_count_is_exact_and_the_classes_in_proportion(random):
    labels = np.repeat([0, 1, 2], [500, 300, 50])[random.permutation(850)]
    choice = choose(labels, np.arange(850), 170, every_class=True)
    assert np.bincount(labels[choice.chosen]).tolist() == [100, 60, 10]
    assert choice.broken_groups == 0


@pytest.mark.parametrize("size", [2, 3, 7])
def test_groups_stay_whole(random, size):
    groups = random.permutation(np.arange(420) // size)
    labels = groups % 4
    choice = choose(labels, groups, 84, every_class=True)
    assert not set(groups[choice.chosen]) & set(groups[~choice.chosen])
    assert abs(np.bincount(labels[choice.chosen]) - 21).max() <= size / 2
    assert choice.broken_groups == 0


def test_a_class_that_is_one_group_is_broken_up_and_counted():
    labels = np.repeat([0, 1], 10)
    groups = np.where(labels == 1, 99, np.arange(20))
    choice = choose(labels, groups, 4, every_class=True)
    assert np.bincount(labels[choice.chosen]).tolist() == [2, 2]
    assert choice.broken_groups == 1


def test_a_group_over_two_classes_stays_whole():
    labels = np.repeat([0, 1], 50)
    groups = np.arange(100) % 50  # each image of one class is in the other, too
    choice = choose(labels, groups, 20, every_class=True)
    assert np.bincount(labels[choice.chosen]).tolist() == [10, 10]
    assert choice.broken_groups == 0


def test_each_class_keeps_an_image():
    labels = np.array([0] * 40 + [1, 1] + [2])
    chosen = choose(labels, np.arange(43), 40, every_class=True).chosen
    assert np.bincount(labels[~chosen], minlength=3).min() >= 1
    assert np.bincount(labels[chosen], minlength=3).tolist()[1:] == [1, 0]


def test_every_leading_part_holds_the_classes_in_proportion(random):
    labels = np.repeat([0, 1, 2], [500, 300, 200])[random.permutation(1000)]
    order = stratified_order(labels)
    assert sorted(order) == list(range(1000))
    for count in (10, 50, 333):
        shares = np.bincount(labels[order[:count]]) / count
        np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=1 / count)


@pytest.mark.parametrize("band", range(4))
def test_near_duplicates_that_agree_in_one_band_alone_are_found(band):
    """Three bits differ, one in each of the other bands of 16 bits; a fourth bit makes them no near-duplicates."""
    others = [16 * other + 5 for other in range(4) if other != band]
    hashes = np.array([0, sum(1 << bit for bit in others), sum(1 << bit for bit in [*others, 16 * band])], np.uint64)
    assert near_duplicate_groups(hashes[:2]).tolist() == [0, 0]
    assert len(set(near_duplicate_groups(hashes[[0, 2]]))) == 2


def test_the_test_images_have_every_class_and_those_for_validation_need_not():
    labels = np.repeat([0, 1], [200, 2])
    for every_class, expected in ((True, [20, 1]), (False, [20, 0])):
        choice = choose(labels, np.arange(202), 20, every_class=every_class)
        assert np.bincount(labels[choice.chosen], minlength=2).tolist() == expected


def test_the_shuffle_is_the_same_in_every_version():
    """NumPy guarantees the stream of this generator; another order would split everybody's images anew."""
    assert shuffled(12).tolist() == [11, 3, 2, 1, 8, 6, 0, 7, 4, 10, 5, 9]
