"""Measure the training step's images per second along an axis, such as the batch.

Writes them as JSON, with a plot beside it.
"""

import argparse
from pathlib import Path

from strideflax.benchmark.axes import AXES
from strideflax.commands.bench_options import add_one_config
from strideflax.commands.console import console, loading
from strideflax.errors import UserError
from strideflax.wording import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("axis", choices=AXES, metavar="AXIS", help=", ".join(AXES))
    add_one_config(parser)


def main(args: argparse.Namespace) -> None:
    """Measure the config along the axis, print each point, store and draw those that could be measured."""
    with loading():
        from strideflax.benchmark.remote import ContenderError
        from strideflax.benchmark.scaling import draw_scaling, ideal, measure_points, points
        from strideflax.config_file import read_config
        from strideflax.files import write_json

    axis = args.axis
    config = read_config(args.config, args.overrides)
    along, rows = points(axis, config, label=Path(args.config.split(":")[0]).stem), []
    console.print(f"measuring {counted(len(along), 'point')} along {axis} ...", style="dim", markup=False)
    missing = ""
    try:
        for row in measure_points(along, rounds=args.rounds):
            rows.append(row)
            speed = row["images_per_second"]
            console.print(
                f"{axis} {row['at']:5}: {speed['median']:,.0f} images/s ({speed['lowest']:,.0f}-{speed['highest']:,.0f})",
                markup=False,
            )
    except ContenderError as error:
        missing = f"{axis} {along[len(rows)].at} can't be measured: {error}"
    if rows:
        stored = {
            "axis": axis, "meaning": AXES[axis], "config": config.to_dict(), "rounds": args.rounds,
            "rows": [{**row, "ideal_images_per_second": best} for row, best in zip(rows, ideal(axis, rows), strict=True)],
        }  # fmt: skip
        write_json(args.out, stored)
        picture = args.out.with_suffix(".svg")
        title = f"{along[0].step.label}, {config.model.dtype}, {rows[0]['device']}"
        draw_scaling(axis, rows, title=title).savefig(picture)
        console.print(f"stored in {args.out} and {picture}", markup=False)
    if missing:
        raise UserError(missing)
