"""A user's own images as a data set: checked, split where they come unsplit, in a shuffled order."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from strideflax.config import DataConfig
from strideflax.data.dataset import Split
from strideflax.data.encoded_images import EncodedImages, ImageProgress, decode_images
from strideflax.data.near_duplicates import near_duplicate_groups
from strideflax.data.splitting import TEST_SHARE, VAL_SHARE, choose, shuffled, stratified_order
from strideflax.errors import DataError
from strideflax.wording import counted


@dataclass(frozen=True)
class OwnImages:
    """Images with what is known of them.

    Attributes:
        name: of the data set, for results.
        place: where they come from, for messages and results.
        classes: the labels' names.
        images: uint8 ``[n, height, width, channels]``.
        labels: int ``[n]``.
        splits: "train", "val", "test" or "", which is not split yet, of each image ``[n]``.
        hashes: uint64 ``[n]``, see `strideflax.data.image_decoding.perceptual_hash`.
        left_out: files that could not be read.
    """

    name: str
    place: str
    classes: tuple[str, ...]
    images: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    hashes: np.ndarray
    left_out: int = 0


def decode_own_images(
    files: EncodedImages,
    labels: Sequence[int],
    splits: Sequence[str],
    config: DataConfig,
    progress: ImageProgress,
    *,
    name: str,
    place: str,
    classes: tuple[str, ...],
) -> OwnImages:
    """Return the images of ``files``, as ``config`` says, with a label and a split for each file that can be read.

    Raises:
        DataError: as `decode_images`.
    """
    decoded = decode_images(files, side=config.size, skip_unreadable=config.skip_unreadable, progress=progress)
    return OwnImages(
        name=name,
        place=place,
        classes=classes,
        images=decoded.images,
        labels=np.array(labels)[decoded.readable],
        splits=np.array(splits)[decoded.readable],
        hashes=decoded.hashes,
        left_out=int((~decoded.readable).sum()),
    )


@dataclass(frozen=True)
class OwnSplits:
    """The three splits, and how they came about in words."""

    train: Split
    val: Split
    test: Split
    description: str


def split_own_images(own: OwnImages, config: DataConfig) -> OwnSplits:
    """Split a user's images, always in the same way; see `choose` for the rule.

    The splits that there are stay. Where there is no test set, a fifth of the training images becomes it. Where there is no
    validation set, a tenth of the training images that are left does, or as many as ``config.val_count`` says.
    ``train_count`` and ``test_count`` then take fewer, each class in proportion.

    Raises:
        DataError: one class, a class with too few images, or more images asked for than there are.
    """
    _check_classes(own)
    is_split = (own.splits == "val").any() and (own.splits == "test").any()
    groups = np.arange(len(own.labels)) if is_split else near_duplicate_groups(own.hashes)
    splits = np.where(own.splits == "", "train", own.splits)
    rules, broken_groups = [], 0
    for split, rule in (("test", "a fifth of each class for the test"), ("val", "{} for validation")):
        if (own.splits == split).any():
            continue
        train = np.flatnonzero(splits == "train")
        count = round(TEST_SHARE * len(train)) if split == "test" else _val_count(config, len(train))
        choice = choose(own.labels[train], groups[train], count, every_class=split == "test")
        splits[train[choice.chosen]] = split
        broken_groups += choice.broken_groups
        rules.append(rule.format(counted(int(choice.chosen.sum()), "image")))
    is_val_chosen = not (own.splits == "val").any()  # as many as there could be
    wanted = {"train": config.train_count, "val": config.val_count, "test": config.test_count}
    taken = {}
    for split, limit in wanted.items():
        places = np.flatnonzero(splits == split)
        if (limit or 0) > len(places) and not (split == "val" and is_val_chosen):
            raise DataError(f"config.data.{split}_count={limit} asks for more than the {len(places)} {split} images")
        chosen = places[stratified_order(own.labels[places])[:limit]]
        order = np.sort(chosen)[shuffled(len(chosen))]
        taken[split] = Split(own.images[order], own.labels[order].astype(np.int32))
    return OwnSplits(**taken, description=_description(own, groups, splits, rules, broken_groups))


def _val_count(config: DataConfig, train_count: int) -> int:
    count = round(VAL_SHARE * train_count) if config.val_count is None else config.val_count
    if count > train_count / 2:
        raise DataError(
            f"config.data.val_count={count} takes more than half of the {train_count} training images; None takes a tenth"
        )
    return count


def _check_classes(own: OwnImages) -> None:
    """Refuse what no network can learn from, or be tested on."""
    if len(own.classes) < 2:
        raise DataError(f"{own.place} has one class, {own.classes[0]!r}, expected two or more")
    is_split = (own.splits == "test").any()
    needed, why = (1, "to train on") if is_split else (2, "one to train on and one to test")
    counts = np.bincount(own.labels[np.isin(own.splits, ["", "train"])], minlength=len(own.classes))
    too_small = [f"{own.classes[i]!r} has {counts[i]}" for i in np.flatnonzero(counts < needed)]
    if too_small:
        listed = ", ".join(too_small[:5]) + (f" and {len(too_small) - 5} more" if len(too_small) > 5 else "")
        raise DataError(f"{own.place}: each class needs {counted(needed, 'image')} or more, {why}; {listed}")


def _description(own: OwnImages, groups: np.ndarray, splits: np.ndarray, rules: list[str], broken_groups: int) -> str:
    """Return in one line where the images come from and how they were split."""
    words = [f"{own.place}, {counted(len(own.labels), 'image')} in {counted(len(own.classes), 'class', 'classes')}"]
    if own.left_out:
        words.append(f"{counted(own.left_out, 'file')} left out")
    if rules:
        alike = len(groups) - groups.max() - 1
        kept = f"; {counted(alike, 'near-duplicate')} kept beside their like" if alike else ""
        kept += f" but for {counted(broken_groups, 'group')}" if broken_groups else ""
        words.append(f"split at seed 0: {', '.join(rules)}{kept}")
    else:
        words.append("split as it came")
    trained_on = {sha256(own.images[i].data).digest() for i in np.flatnonzero(splits == "train")}
    leaked = sum(sha256(own.images[i].data).digest() in trained_on for i in np.flatnonzero(splits == "test"))
    if leaked:
        words.append(f"{counted(leaked, 'test image')} among the training images too")
    return ", ".join(words)
