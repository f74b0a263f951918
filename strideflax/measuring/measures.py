"""The table of measures. A new measure is a file beside this one and an entry here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from strideflax.errors import UserError
from strideflax.measuring import aliasing, calibration, cost, detail, receptive_field, robustness, shifts
from strideflax.measuring.batches import Progress
from strideflax.measuring.subject import Subject


@dataclass(frozen=True)
class Measure:
    """A measure of a finished run.

    Attributes:
        function: takes the run and a report of progress, and returns values that JSON can hold, "protocol" among them.
        shown: the values that ``evaluate`` prints, each a name with dots between nested groups; ``*`` stands for any
            text. The run's folder keeps all values.
        needs_images: False for a measure that works where the run's own images cannot be found.
    """

    function: Callable[[Subject, Progress], dict[str, Any]]
    shown: tuple[str, ...]
    needs_images: bool = True


MEASURES: dict[str, Measure] = {
    "calibration": Measure(
        calibration.measure,
        shown=("accuracy", "balanced_accuracy", "expected_calibration_error", "negative_log_likelihood"),
    ),
    "shift_consistency": Measure(shifts.measure, shown=("*.consistency.4", "*.consistency_given_correct.4")),
    "aliasing": Measure(aliasing.measure, shown=("sites.*.alias_energy", "sites.*.one_pixel_shift_error")),
    "detail": Measure(detail.measure, shown=("*_error_pixels",), needs_images=False),
    "robustness": Measure(
        robustness.measure, shown=("clean_error", "mean_error", "mean_errors.*", "cifar10_c.mean_error")
    ),
    "receptive_field": Measure(
        receptive_field.measure, shown=("spread_pixels.*", "side_pixels", "theoretical_size_pixels.*")
    ),
    "cost": Measure(
        cost.measure,
        shown=("*.median_ms", "*.images_per_second", "training.compile_seconds", "training.peak_memory.*"),
        needs_images=False,
    ),
}


class UnknownMeasureError(UserError, ValueError):
    """A name that no measure has."""


def check_measures(names: Sequence[str]) -> None:
    """Raise `UnknownMeasureError` for a name that is not in `MEASURES`, or for no names."""
    unknown = [name for name in names if name not in MEASURES]
    if unknown or not names:
        raise UnknownMeasureError(f"unknown measure {', '.join(unknown)!r}; known: {', '.join(MEASURES)}")
