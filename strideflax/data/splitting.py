"""Orders and splits of images: seeded, classes in balance or in proportion, near-duplicates on one side where that can be."""

from dataclasses import dataclass

import numpy as np

TEST_SHARE = 0.2  # of all images, where there is no test set
VAL_SHARE = 0.1  # of the training images, where config.data.val_count is None


@dataclass(frozen=True)
class Choice:
    """Images chosen for one side of a split: bool ``[n]``, and how many groups have images on both sides."""

    chosen: np.ndarray
    broken_groups: int


def choose(labels: np.ndarray, groups: np.ndarray, count: int, *, every_class: bool) -> Choice:
    """Choose about ``count`` images, each class in proportion, and whole groups where that can be.

    Groups are gone through in a fixed shuffled order, and one is taken whole if that brings each of its classes nearer to its
    share. A group that is too large for that from the start counts as single images, lest the rest of the class stand for all
    of it. The count is exact where no group has several images. Each class keeps at least one image.

    Args:
        labels: int ``[n]``.
        groups: int ``[n]`` from 0, see `near_duplicate_groups`.
        count: how many; 0 chooses none.
        every_class: choose at least one image of each class that has two.
    """
    chosen = np.zeros(len(labels), bool)
    if count == 0:
        return Choice(chosen, 0)
    sizes = np.bincount(labels)
    wanted = np.bincount(labels[stratified_order(labels)[:count]], minlength=len(sizes))
    wanted = np.clip(wanted, int(every_class), np.maximum(sizes - 1, 0))
    taken = np.zeros_like(sizes)

    def brings_nearer(images: np.ndarray, taken: np.ndarray) -> bool:
        more = np.bincount(labels[images], minlength=len(sizes))
        return bool(((more <= 2 * np.maximum(wanted - taken, 0)) & (taken + more < np.maximum(sizes, 1))).all())

    for members in _in_shuffled_order(groups):
        for part in [members] if brings_nearer(members, np.zeros_like(sizes)) else members.reshape(-1, 1):
            if brings_nearer(part, taken):
                chosen[part] = True
                taken += np.bincount(labels[part], minlength=len(sizes))
    on_both_sides = np.intersect1d(groups[chosen], groups[~chosen])
    return Choice(chosen, len(on_both_sides))


def _in_shuffled_order(groups: np.ndarray) -> list[np.ndarray]:
    """Return the members of each group, in the order in which a shuffle of all images first meets the groups."""
    members: dict[int, list[int]] = {}
    for i in shuffled(len(groups)):
        members.setdefault(int(groups[i]), []).append(i)
    return [np.array(group) for group in members.values()]


def shuffled(count: int) -> np.ndarray:
    """Return a fixed permutation of 0..count - 1, from a stream that NumPy guarantees."""
    return np.argsort(np.random.PCG64(0).random_raw(count), kind="stable")


def balanced_order(labels: np.ndarray) -> np.ndarray:
    """Return a fixed permutation of 0..n - 1 in which every leading part holds the classes in balance.

    All images are shuffled, then dealt out in rounds: the first of each class, the second of each class, and so on.
    """
    order = shuffled(len(labels))
    round_of_image = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        round_of_image[members] = np.arange(len(members))
    return order[np.argsort(round_of_image[order], kind="stable")]


def stratified_order(labels: np.ndarray) -> np.ndarray:
    """Return a fixed permutation of 0..n - 1 in which every leading part holds the classes in proportion to their sizes."""
    order = shuffled(len(labels))
    position = np.empty(len(labels))  # of an image among those of its class, from 0 to 1
    for label in np.unique(labels):
        members = order[labels[order] == label]
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(position[order], kind="stable")]
