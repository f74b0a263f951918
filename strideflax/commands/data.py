"""Show which images would be used, how they are split, and where to put CIFAR-10.

strideflax data --name folder --dir DIR

Downloads CIFAR-10 if it is nowhere to be found.
"""

import argparse
from typing import TYPE_CHECKING

from strideflax.commands.console import ImageBar, console, loading, print_entry
from strideflax.commands.parsing import at_least_one

if TYPE_CHECKING:
    from strideflax.data import Dataset

VAL_COUNT = 1000  # of a published set
# This command's options, by those of train that messages name.
OPTIONS = {
    "--config.data.skip_unreadable=true": "--skip-unreadable",
    "--config.data.name": "--name",
    "--config.data.dir": "--dir",
    "--config.data.size": "--size",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--name",
        default="cifar10",
        help="cifar10, cifar100, shapes, folder, tfds:NAME or FILE.npz, with masks scenes, camvid or mask_folder, as "
        "--config.data.name (default: %(default)s)",
    )
    parser.add_argument(
        "--dir", metavar="DIR", help="the folder of class folders, or a local copy, as --config.data.dir"
    )
    parser.add_argument(
        "--val-count",
        type=int,
        metavar="N",
        help=f"validation images (default: {VAL_COUNT} of a published set, a tenth of your own training images)",
    )
    parser.add_argument("--size", type=at_least_one, metavar="N", help="side in pixels of your own images")
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out files of your own that are no images")


def main(args: argparse.Namespace) -> None:
    """Load the images and describe them."""
    with loading():
        from strideflax.config import DATASETS, DataConfig
        from strideflax.data import DataError, load_dataset
        from strideflax.data.cifar10_tfds import manual_archive, tfds_folder

    val_count = VAL_COUNT if args.val_count is None and args.name in DATASETS else args.val_count
    config = DataConfig(
        name=args.name, dir=args.dir, val_count=val_count, size=args.size, skip_unreadable=args.skip_unreadable
    )
    try:
        with ImageBar() as bar:
            dataset = load_dataset(config, bar)
    except DataError as error:
        raise DataError(_by_its_own_options(str(error))) from None
    for name, value in describe(dataset).items():
        print_entry(name, value)
    if args.name == "cifar10":
        console.print(
            "\nLocal copies: --config.data.dir=DIR reads a folder with cifar-10-batches-bin, cifar-10-batches-py or\n"
            f"one of their .tar.gz. Without it, {tfds_folder()} is read, and prepared from\n"
            f"{manual_archive(tfds_folder())} (the official one) or from a download.",
            markup=False,
        )


def _by_its_own_options(message: str) -> str:
    for option, own in OPTIONS.items():
        message = message.replace(option, own)
    return message


def describe(dataset: "Dataset") -> dict[str, str]:
    """Return what to say about ``dataset``, by name."""
    height, width, channels = dataset.train.images.shape[1:]
    return {
        "name": dataset.name,
        "source": dataset.source,
        "images": f"{len(dataset.train):,} train, {len(dataset.val):,} validation, {len(dataset.test):,} test",
        "size": f"{height} x {width} pixels, {'grey' if channels == 1 else 'in colour'}",
        "classes": _classes(dataset),
        "mean, std": " ".join(f"{m:.4f}" for m in dataset.mean) + ", " + " ".join(f"{s:.4f}" for s in dataset.std),
        "fingerprint": dataset.fingerprint,
    }


def _classes(dataset: "Dataset") -> str:
    """Return the classes' names, each with its number of training images where they differ, or its share of their pixels."""
    import numpy as np

    if dataset.train.has_masks:
        pixels = np.bincount(dataset.train.labels.ravel(), minlength=len(dataset.classes))[: len(dataset.classes)]
        shares = pixels / max(int(pixels.sum()), 1)
        named = [f"{name} ({share:.1%})" for name, share in zip(dataset.classes, shares, strict=True)]
        return ", ".join(named) + " of the labelled training pixels"
    counts = np.bincount(dataset.train.labels, minlength=len(dataset.classes))
    separator = "; " if any("," in name for name in dataset.classes) else ", "
    if len(set(counts)) == 1:
        return separator.join(dataset.classes)
    named = [f"{name} ({count:,})" for name, count in zip(dataset.classes, counts, strict=True)]
    return separator.join(named) + " training images"
