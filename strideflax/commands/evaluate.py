"""Add measures to a finished run: shifts, aliasing, detail, robustness, receptive field, calibration, cost."""

import argparse
import dataclasses
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from strideflax.commands.console import console
from strideflax.data.dataset import load_dataset
from strideflax.errors import UserError
from strideflax.measuring.table import MEASURES, check_measures, evaluate_run
from strideflax.training.restore import restore_run

# Which of a measure's values the closing table shows; the files have all of them.
SHOWN = {
    "calibration": ("accuracy", "expected_calibration_error", "negative_log_likelihood"),
    "shift_consistency": ("*.consistency.4", "*.consistency_given_correct.4"),
    "aliasing": ("sites.*.alias_energy", "sites.*.one_pixel_shift_error"),
    "detail": ("*_error_pixels",),
    "robustness": ("clean_error", "mean_error", "mean_errors.*", "cifar10_c.mean_error"),
    "receptive_field": ("spread_pixels.*", "side_pixels", "theoretical_size_pixels.*"),
    "cost": ("*.median_ms", "*.images_per_second", "training.compile_seconds", "training.peak_memory.*"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "--measures", default=",".join(MEASURES), metavar="A,B", help=f"which (default: all): {', '.join(MEASURES)}"
    )
    parser.add_argument(
        "--images", type=int, default=0, metavar="N", help="test images at most (default: each measure's)"
    )
    parser.add_argument(
        "--cifar10-c", type=Path, metavar="DIR", help="folder of CIFAR-10-C's .npy files, for robustness"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="where the run's images are now, if not where they were")


def main(args: argparse.Namespace) -> None:
    """Measure, write the results into the run folder, and print a table of them."""
    names = args.measures.split(",")
    check_measures(names)
    if args.images < 0:
        raise UserError(f"--images must be an int >= 1, or 0 for each measure's own number, got {args.images}")
    run = restore_run(args.run)
    data = run.config.data if args.data_dir is None else dataclasses.replace(run.config.data, dir=args.data_dir)
    dataset = load_dataset(data)
    expected = (run.result.get("dataset") or {}).get("fingerprint")
    if dataset.fingerprint != expected:
        raise UserError(
            f"{args.run} was trained on images with fingerprint {expected}, but those found have "
            f"{dataset.fingerprint}; name the folder of the right ones with --data-dir"
        )
    bar = Progress(
        TextColumn("  {task.description:18}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with bar:
        tasks = {name: bar.add_task(name, total=1, start=False) for name in names}

        def show(name: str, done: int, total: int) -> None:
            if done == 0:
                bar.start_task(tasks[name])
            bar.update(tasks[name], completed=done, total=total)

        results = evaluate_run(run, dataset, names, show, images=args.images, cifar10_c=args.cifar10_c)
    _print_results(results)
    console.print(f"results in {args.run / 'measures'}", markup=False)


def _print_results(results: dict[str, dict[str, Any]]) -> None:
    table = Table(box=None, header_style="bold")
    table.add_column("measure", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("seconds", justify="right")
    for name, result in results.items():
        table.add_row(f"[bold]{name}[/]", "", f"{result['seconds']:.1f}")
        for path, value in _leaves(result):
            if any(fnmatch(path, pattern) for pattern in SHOWN[name]):
                table.add_row(f"  {path}", f"{value:.4g}" if isinstance(value, float) else str(value), "")
    console.print(table)


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values in nested groups with their names joined by dots."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
