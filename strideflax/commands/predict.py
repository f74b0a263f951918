"""Say what a finished run sees in image files: the class and its probability, as a table or CSV.

strideflax predict runs/stride2-1a2b3c4d5e6f photo.jpg folder_of_photos
strideflax predict runs/stride2-1a2b3c4d5e6f photos --csv > predictions.csv
"""

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from strideflax.commands.console import ImageBar, loading, print_table
from strideflax.commands.parsing import add_run_arguments
from strideflax.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from strideflax.training import FinishedRun

BATCH_SIZE = 128
RUNNERS_UP = 2  # classes that the table names besides the first


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_run_arguments(parser)
    parser.add_argument(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGE",
        help="JPEG, PNG, WebP, BMP, PPM or TIFF files, or folders of them",
    )
    parser.add_argument("--csv", action="store_true", help="print CSV with the probability of every class")


def main(args: argparse.Namespace) -> None:
    """Print what the run says of each image."""
    with loading():
        from strideflax.data.image_files import find_image_files
        from strideflax.training import restore_run

    paths = find_image_files(args.images)
    run = restore_run(args.run, args.config_file)
    if run.config.task != "classify":
        raise UserError(f"{args.run} must be a run that classifies images, got config.task {run.config.task!r}")
    predictions = _predictions(run, paths)
    if args.csv:
        _print_csv(run.classes, list(predictions))  # all of them, or the error of the file that can't be read
    else:
        _print_table(run.classes, predictions)


def _predictions(run: "FinishedRun", paths: Sequence[Path]) -> Iterator[tuple[Path, "np.ndarray"]]:
    """Yield each path with the probabilities ``[classes]``, a batch of images in memory at a time."""
    import numpy as np

    from strideflax.data.image_files import read_image_files
    from strideflax.measuring.calibration import log_probabilities

    bar = ImageBar()
    for start in range(0, len(paths), BATCH_SIZE):
        batch = paths[start : start + BATCH_SIZE]
        images = read_image_files(batch, run.image_shape, run.config.data.stretch)
        probabilities = np.exp(log_probabilities(np.asarray(run.predict(images))))
        bar("classifying images", start + len(batch), len(paths))
        yield from zip(batch, probabilities, strict=True)


def _print_csv(classes: Sequence[str], predictions: Sequence[tuple[Path, "np.ndarray"]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["image", "class", "probability", *classes])
    for path, probabilities in predictions:
        best = int(probabilities.argmax())
        shares = [f"{share:.6f}" for share in probabilities]
        writer.writerow([path, classes[best], shares[best], *shares])


def _print_table(classes: Sequence[str], predictions: Iterator[tuple[Path, "np.ndarray"]]) -> None:
    table = Table(box=None, header_style="bold")
    for heading in ("image", "class"):
        table.add_column(heading)
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("next")
    for path, probabilities in predictions:
        first, *others = (-probabilities).argsort(kind="stable")[: RUNNERS_UP + 1]
        runners_up = [f"{classes[i]} {probabilities[i]:.1%}" for i in others]
        table.add_row(
            escape(str(path)), escape(classes[first]), f"{probabilities[first]:.1%}", escape(", ".join(runners_up))
        )
    print_table(table)
