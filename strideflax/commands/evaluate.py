"""Add measures to a finished run, such as its consistency under shifts.

strideflax evaluate runs/stride2-1a2b3c4d5e6f --measures shift_consistency,aliasing
"""

import argparse
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from strideflax.commands.console import Bar, ImageBar, console, loading, print_table
from strideflax.commands.parsing import add_run_arguments, at_least_one
from strideflax.config_values import flat


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_run_arguments(parser)
    parser.add_argument("--measures", metavar="A,B", help="which (default: all that fit; a wrong name lists them)")
    parser.add_argument(
        "--images", type=at_least_one, metavar="N", help="test images at most (default: each measure's)"
    )
    parser.add_argument(
        "--cifar10-c", type=Path, metavar="DIR", help="folder of CIFAR-10-C's .npy files, for robustness"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="where the run's images are now, if not where they were")


def main(args: argparse.Namespace) -> None:
    """Measure, write the results into the run folder, and print a table of them."""
    with loading():
        from strideflax.measuring.evaluation import evaluate_run
        from strideflax.measuring.measures import MEASURES, check_measures, measures_of
        from strideflax.measuring.subject import load_images
        from strideflax.training import restore_run

    if args.measures is not None:
        check_measures(args.measures.split(","))  # before a run is read
    run = restore_run(args.run, args.config_file)
    names = list(measures_of(run.config.task)) if args.measures is None else args.measures.split(",")
    check_measures(names, run.config.task)
    bar = Bar(
        TextColumn("  {task.description:18}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn()
    )
    images = ImageBar()
    try:
        tasks = {name: bar.add_task(name, total=1, start=False) for name in names}

        def show(name: str, done: int, total: int) -> None:
            if done == 0 and not console.is_terminal:
                console.print(f"measuring {name} ...")
            if done == 0:
                bar.start()  # not before the images are loaded, which may show a bar of its own
                bar.start_task(tasks[name])
            bar.update(tasks[name], completed=done, total=total)

        load = partial(load_images, run, args.data_dir, images)
        results = evaluate_run(run, names, show, load=load, images=args.images, cifar10_c=args.cifar10_c)
    finally:
        images.close()
        bar.stop()
    table = Table(box=None, header_style="bold")
    table.add_column("measure", no_wrap=True)
    table.add_column("value")
    table.add_column("seconds", justify="right", no_wrap=True)
    for name, result in results.items():
        _add_rows(table, name, result, MEASURES[name].shown)
    print_table(table)
    console.print(f"results in {args.run / 'measures'}", markup=False)


def _add_rows(table: Table, name: str, result: dict[str, Any], shown: tuple[str, ...]) -> None:
    """Add a measure's values whose names match one of the patterns ``shown``."""
    table.add_row(f"[bold]{name}[/]", "", f"{result['seconds']:.1f}")
    for path, value in flat(result).items():
        if any(fnmatch(path, pattern) for pattern in shown):
            table.add_row(f"  {path}", _in_words(value), "")


def _in_words(value: Any) -> str:
    """Return a value as it is printed; a measure has None where the images hold nothing to measure it on."""
    if value is None:
        return "none such"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
