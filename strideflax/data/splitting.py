"""Splits of images that come as one: seeded, stratified by class, and with near-duplicates on one side where that can be."""

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
    """Choose about ``count`` images, each class in proportion, and whole groups.

    Groups are gone through in a fixed shuffled order, and one is taken whole if none of its classes then has more than its
    share; so a group larger than that stays where it is. The count is exact where no group has several images. Each class
    keeps at least one image.

    Args:
        labels: int ``[n]``, with two or more of each.
        groups: int ``[n]`` from 0, see `near_duplicate_groups`.
        count: how many; 0 chooses none.
        every_class: choose at least one image of each class that has two; a group too large for that is broken up.
    """
    chosen = np.zeros(len(labels), bool)
    if count == 0:
        return Choice(chosen, 0)
    order = shuffled(len(labels))
    place = np.argsort(order)  # of each image in it
    sizes = np.bincount(labels)
    wanted = np.bincount(labels[stratified_order(labels)[:count]], minlength=len(sizes))
    wanted = np.clip(wanted, int(every_class), np.maximum(sizes - 1, 0))
    by_group = order[np.argsort(groups[order], kind="stable")]
    members = np.split(by_group, np.flatnonzero(np.diff(groups[by_group])) + 1)
    for group in sorted(members, key=lambda group: place[group[0]]):
        needed = np.bincount(labels[group], minlength=len(sizes))
        if (needed <= wanted).all():
            chosen[group] = True
            wanted -= needed
    for label in np.flatnonzero(sizes >= 2) if every_class else ():
        if not chosen[labels == label].any():
            chosen[order[labels[order] == label][0]] = True
    on_both_sides = np.intersect1d(groups[chosen], groups[~chosen])
    return Choice(chosen, len(on_both_sides))


def shuffled(count: int) -> np.ndarray:
    """Return a fixed permutation of 0..count - 1, from a stream that NumPy guarantees."""
    return np.argsort(np.random.PCG64(0).random_raw(count), kind="stable")


def stratified_order(labels: np.ndarray) -> np.ndarray:
    """Return a fixed permutation of 0..n - 1 in which every leading part holds the classes in proportion to their sizes."""
    order = shuffled(len(labels))
    position = np.empty(len(labels))  # of an image among those of its class, from 0 to 1
    for label in np.unique(labels):
        members = order[labels[order] == label]
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(position[order], kind="stable")]
