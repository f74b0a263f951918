"""The table of measures. A new measure is a file beside this one and an entry here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from strideflax.errors import UserError
from strideflax.measuring import (
    aliasing,
    calibration,
    cost,
    detail,
    fractional_shifts,
    mask_shifts,
    receptive_field,
    robustness,
    segmentation,
    shifts,
)
from strideflax.measuring.batches import Progress
from strideflax.measuring.subject import Subject


@dataclass(frozen=True)
class Measure:
    """A measure of a finished run.

    Attributes:
        function: takes the run and a report of progress, and returns values that JSON can hold, "protocol" among them.
        shown: the values that ``evaluate`` prints, each a name with dots between nested groups; ``*`` stands for any
            text. The run's folder keeps all values.
        tasks: those of whose runs it can be taken.
        needs_images: False for a measure that works where the run's own images cannot be found.
    """

    function: Callable[[Subject, Progress], dict[str, Any]]
    shown: tuple[str, ...]
    needs_images: bool = True
    tasks: tuple[str, ...] = ("classify",)


EVERY_TASK = ("classify", "segment")

MEASURES: dict[str, Measure] = {
    "calibration": Measure(
        calibration.measure,
        shown=("accuracy", "balanced_accuracy", "expected_calibration_error", "negative_log_likelihood"),
    ),
    "shift_consistency": Measure(
        shifts.measure, shown=("*.consistency.4", "*.consistency_given_correct.4", "*.worst_case_accuracy.4")
    ),
    "aliasing": Measure(
        aliasing.measure, shown=("sites.*.alias_energy", "sites.*.one_pixel_shift_error"), tasks=EVERY_TASK
    ),
    "detail": Measure(detail.measure, shown=("*_error_pixels",), needs_images=False),
    "robustness": Measure(
        robustness.measure, shown=("clean_error", "mean_error", "mean_errors.*", "cifar10_c.mean_error")
    ),
    "receptive_field": Measure(
        receptive_field.measure,
        shown=("spread_pixels.*", "side_pixels", "theoretical_size_pixels.*"),
        tasks=EVERY_TASK,
    ),
    "segmentation": Measure(
        segmentation.measure,
        shown=("mean_iou", "pixel_accuracy", "iou.*", "boundary_score.*", "objects.*.recall"),
        tasks=("segment",),
    ),
    "mask_shifts": Measure(
        mask_shifts.measure,
        shown=("*.consistency", "*.worst_case_consistency", "*.worst_case_mean_iou"),
        tasks=("segment",),
    ),
    "fractional_shifts": Measure(fractional_shifts.measure, shown=("consistency.*", "consistency_given_correct.*")),
    "cost": Measure(
        cost.measure,
        shown=("*.median_ms", "*.images_per_second", "training.compile_seconds", "training.peak_memory.*"),
        needs_images=False,
        tasks=EVERY_TASK,
    ),
}


class UnknownMeasureError(UserError, ValueError):
    """A name that no measure has."""


def measures_of(task: str) -> tuple[str, ...]:
    """Return the names of the measures that can be taken of a task's runs."""
    return tuple(name for name, measure in MEASURES.items() if task in measure.tasks)


def check_measures(names: Sequence[str], task: str | None = None) -> None:
    """Raise `UnknownMeasureError` for a name that is not in `MEASURES`, or not for runs of ``task``, or for no names."""
    unknown = [name for name in names if name not in MEASURES]
    if unknown or not names:
        raise UnknownMeasureError(f"unknown measure {', '.join(unknown)!r}; known: {', '.join(MEASURES)}")
    unfit = [] if task is None else [name for name in names if task not in MEASURES[name].tasks]
    if unfit:
        known = ", ".join(measures_of(task or ""))
        raise UnknownMeasureError(
            f"{', '.join(unfit)} can't be taken of a run whose task is {task!r}; there are: {known}"
        )
