"""``bench --scaling``: images per second along an axis, as JSON and as a plot beside it."""

import argparse
from pathlib import Path

from strideflax.benchmark.scaling import AXES, draw_scaling, ideal, measure_points, points
from strideflax.benchmark.turns import WorkerError
from strideflax.commands.console import console
from strideflax.config_file import read_config
from strideflax.errors import UserError
from strideflax.training.run_folder import write_json


def scale(args: argparse.Namespace) -> None:
    """Measure the first config along ``args.scaling``, print each point, store and draw those that could be measured."""
    axis, spec = args.scaling, args.config[0]
    config = read_config(spec, args.overrides)
    along, rows = points(axis, config, label=Path(spec.split(":")[0]).stem), []
    missing = ""
    try:
        for row in measure_points(along, rounds=args.rounds):
            rows.append(row)
            speed = row["images_per_second"]
            console.print(
                f"{axis} {row['at']:5}: {speed['median']:,.0f} images/s ({speed['lowest']:,.0f}-{speed['highest']:,.0f})",
                markup=False,
            )
    except WorkerError as error:
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
