"""Show which images would be used, and where to put CIFAR-10.

Downloads CIFAR-10 if it is nowhere to be found.
"""

import argparse
from typing import Any

from strideflax.commands.console import console, loading, print_entry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--name", default="cifar10", help="cifar10 or shapes (default: %(default)s)")
    parser.add_argument("--dir", metavar="DIR", help="local copy of CIFAR-10, as --config.data.dir")
    parser.add_argument(
        "--val-count", type=int, default=1000, metavar="N", help="validation images (default: %(default)s)"
    )


def main(args: argparse.Namespace) -> None:
    """Load the images and describe them."""
    with loading():
        from strideflax.config import DataConfig
        from strideflax.data import load_dataset
        from strideflax.data.cifar10_tfds import manual_archive, tfds_folder

    config = DataConfig(name=args.name, dir=args.dir, val_count=args.val_count)
    for name, value in describe(load_dataset(config)).items():
        print_entry(name, value)
    if args.name == "cifar10":
        console.print(
            "\nLocal copies: --config.data.dir=DIR reads a folder with cifar-10-batches-bin, cifar-10-batches-py or\n"
            f"one of their .tar.gz. Without it, {tfds_folder()} is read, and prepared from\n"
            f"{manual_archive(tfds_folder())} (the official one) or from a download.",
            markup=False,
        )


def describe(dataset: Any) -> dict[str, str]:
    """Return what to say about ``dataset``, by name."""
    return {
        "name": dataset.name,
        "source": dataset.source,
        "images": f"{len(dataset.train):,} train, {len(dataset.val):,} validation, {len(dataset.test):,} test",
        "classes": ", ".join(dataset.classes) if dataset.name == "cifar10" else "; ".join(dataset.classes),
        "mean, std": " ".join(f"{m:.4f}" for m in dataset.mean) + ", " + " ".join(f"{s:.4f}" for s in dataset.std),
        "fingerprint": dataset.fingerprint,
    }
