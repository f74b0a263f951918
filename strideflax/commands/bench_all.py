"""``bench --all``: every comparison, every scaling curve and the overhead, one after another, into one folder.

For a machine that is lent for an hour, as one with an accelerator may be: what fails is said at the end, and the rest is there.
"""

import argparse

from strideflax.benchmark.scaling import AXES
from strideflax.commands import bench_against, bench_overhead, bench_scaling
from strideflax.commands.console import console
from strideflax.errors import UserError


def everything(args: argparse.Namespace) -> None:
    """Do all of it, each part as by its own option; exit with 1 if a part could not be done."""
    folder = args.out.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        ("overhead", bench_overhead.overhead, {}),
        *((f"scaling_{axis}", bench_scaling.scale, {"scaling": axis}) for axis in AXES),
        ("against", bench_against.against, {"against": "torch"}),
    ]
    failed = []
    for name, part, options in parts:
        console.print(name, style="bold")
        try:
            part(argparse.Namespace(**vars(args) | options | {"out": folder / f"{name}.json"}))
        except UserError as error:
            failed.append(f"{name}: {error}")
        except SystemExit:  # a rival that did not compute the same, said above
            failed.append(f"{name}: see above")
    for line in failed:
        console.print(f"not done: {line}", style="red", markup=False)
    if failed:
        raise SystemExit(1)
