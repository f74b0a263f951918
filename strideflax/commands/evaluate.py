"""Add measures to a finished run: shifts, aliasing, detail, robustness, receptive field, calibration, cost."""

import argparse
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from strideflax.commands.console import console
from strideflax.errors import UserError
from strideflax.measuring.evaluation import evaluate_run
from strideflax.measuring.measures import MEASURES, check_measures
from strideflax.measuring.subject import load_images
from strideflax.training.restore import restore_run


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
    bar = Progress(
        TextColumn("  {task.description:18}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    try:
        tasks = {name: bar.add_task(name, total=1, start=False) for name in names}

        def show(name: str, done: int, total: int) -> None:
            if done == 0:
                bar.start()  # not before the images are loaded, which may show a bar of its own
                bar.start_task(tasks[name])
            bar.update(tasks[name], completed=done, total=total)

        load = partial(load_images, run, args.data_dir)
        results = evaluate_run(run, names, show, load=load, images=args.images, cifar10_c=args.cifar10_c)
    finally:
        bar.stop()
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
            if any(fnmatch(path, pattern) for pattern in MEASURES[name].shown):
                table.add_row(f"  {path}", f"{value:.4g}" if isinstance(value, float) else str(value), "")
    console.print(table)


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values in nested groups with their names joined by dots."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
