"""How images per second change with the width, the image, the batch, the devices, the steps per dispatch, the seeds at once.

The ideal line: along the devices, one device's images per second times their number; along all else, the most multiply-adds
per second that any point reaches, at every point.
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from strideflax.benchmark.axes import AXES
from strideflax.benchmark.remote import ContenderError, RemoteContender
from strideflax.benchmark.workloads import Step, to_job
from strideflax.config import Config

PLACES = {  # along each axis of `AXES`; widths in percent of the config's
    "width": (25, 50, 100, 200),
    "image": (16, 32, 64),
    "batch": (16, 32, 64, 128, 256, 512),
    "devices": (1, 2, 4),
    "dispatch": (1, 2, 5, 10, 50),
    "seeds": (1, 2, 4, 8),
}
TURN_SECONDS = 1.0


@dataclass(frozen=True)
class Point:
    """A training step at one place of an axis, the variables of its process, and how many devices it must see (0: any)."""

    at: int
    step: Step
    environment: dict[str, str] = field(default_factory=dict)
    devices: int = 0


def points(axis: str, config: Config, *, label: str) -> list[Point]:
    """Return the training steps of ``config`` along ``axis``, one of `AXES`."""
    found = []
    for at in PLACES[axis]:
        changed, size, steps, seeds, devices = config, 32, 1, 1, 0
        match axis:
            case "width":
                widths = tuple(max(round(width * at / 100), 1) for width in config.model.widths)
                changed, at = replace(config, model=replace(config.model, widths=widths)), widths[0]
            case "image":
                size = at
            case "batch":
                changed = replace(config, batch_size=at)
            case "devices":
                devices = at
            case "dispatch":
                steps = at
            case "seeds":
                seeds = at
        step = Step.of(label, changed, dtype=config.model.dtype, size=size, steps=steps, seeds=seeds)
        found.append(Point(at, step, _devices(devices) if devices else {}, devices))
    return found


def _devices(count: int) -> dict[str, str]:
    """Return the variables of a process that sees ``count`` devices, of a CPU's or of those of CUDA that this one may see."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = allowed.split(",")[:count] if allowed else map(str, range(count))
    return {"JAX_NUM_CPU_DEVICES": str(count), "CUDA_VISIBLE_DEVICES": ",".join(names)}


def measure_points(along: Sequence[Point], *, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield ``at``, ``macs`` of one image's forward pass, ``images_per_second`` (median, lowest, highest) and ``device``.

    Raises:
        ContenderError: a point can't be measured.
    """
    with TemporaryDirectory() as folder:
        for point in along:
            with RemoteContender("auto", point.environment) as contender:
                about = contender.ask(do="describe")
                if point.devices and about["device_count"] != point.devices:
                    raise ContenderError(f"{point.devices} devices are wanted, there are {about['device_count']}")
                weights = str(Path(folder) / "initial.npz")
                ready = contender.ask(do="prepare", workload=to_job(point.step), weights=weights)
                speeds = []
                for _ in range(rounds):
                    turn = contender.ask(do="measure", calls=5, seconds=TURN_SECONDS)
                    speeds.append(point.step.images_per_call / turn["median_ms"] * 1000)
            speed = {"median": float(np.median(speeds)), "lowest": min(speeds), "highest": max(speeds)}
            yield {
                "at": point.at,
                "macs": ready["facts"]["macs"],
                "images_per_second": speed,
                "device": about["device"],
            }


def ideal(axis: str, rows: Sequence[dict[str, Any]]) -> list[float]:
    """Return the ideal images per second at each row; see the top of this module."""
    speeds = [row["images_per_second"]["median"] for row in rows]
    if axis == "devices":
        return [speeds[0] / rows[0]["at"] * row["at"] for row in rows]
    rate = max(row["images_per_second"]["median"] * row["macs"] for row in rows)
    return [rate / row["macs"] for row in rows]


def draw_scaling(axis: str, rows: Sequence[dict[str, Any]], *, title: str) -> Figure:
    """Return a figure of images per second along ``axis`` on logarithmic axes, with the spread and the ideal line."""
    figure = Figure(figsize=(5, 3.6), dpi=150, constrained_layout=True)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    places, median, below, above = [], [], [], []
    for row in rows:
        speed = row["images_per_second"]
        places.append(row["at"])
        median.append(speed["median"])
        below.append(speed["median"] - speed["lowest"])
        above.append(speed["highest"] - speed["median"])
    best = ideal(axis, rows)
    axes.plot(places, best, "--", color="#6e6e6e", label="ideal")
    axes.errorbar(
        places, median, yerr=[below, above], fmt="o-", color="#0072B2", capsize=3, label="measured, with its range"
    )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_minor_formatter("{x:,.0f}")
    axes.set_xticks(places, map(str, places))
    axes.set(xlabel=AXES[axis], ylabel="training images per second")
    axes.set_title(title, fontsize=9, loc="left")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3, which="both")
    axes.set_ylim(bottom=10 ** math.floor(math.log10(min(*median, *best))))
    return figure
