"""The table of measures, and what runs them on a finished run."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from strideflax.data.dataset import Dataset
from strideflax.errors import UserError
from strideflax.measuring import aliasing, calibration, cost, detail, receptive_field, robustness, shift_consistency
from strideflax.measuring.functions import Progress
from strideflax.measuring.subject import Subject
from strideflax.training.environment import describe_device
from strideflax.training.run_folder import FinishedRun, write_json

# Each takes a subject and a report of progress and returns values that JSON can hold, "protocol" among them.
MEASURES: dict[str, Callable[[Subject, Progress], dict[str, Any]]] = {
    "calibration": calibration.measure,
    "shift_consistency": shift_consistency.measure,
    "aliasing": aliasing.measure,
    "detail": detail.measure,
    "robustness": robustness.measure,
    "receptive_field": receptive_field.measure,
    "cost": cost.measure,
}


class UnknownMeasureError(UserError, ValueError):
    """A name that no measure has."""


def check_measures(names: Sequence[str]) -> None:
    """Raise `UnknownMeasureError` for a name that is not in `MEASURES`, or for no names."""
    unknown = [name for name in names if name not in MEASURES]
    if unknown or not names:
        raise UnknownMeasureError(f"unknown measure {', '.join(unknown)!r}; known: {', '.join(MEASURES)}")


def evaluate_run(
    run: FinishedRun,
    dataset: Dataset,
    names: Sequence[str] = tuple(MEASURES),
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
    *,
    images: int = 0,
    cifar10_c: Path | None = None,
) -> dict[str, dict[str, Any]]:
    """Measure a finished run and write each result to ``measures/NAME.json`` in its folder, whole or not at all.

    Args:
        run: the run.
        dataset: the data set that it was trained on.
        names: of `MEASURES`.
        progress: told a measure's name and how far it is.
        images: test images that a measure uses at most, 0 for each measure's own number; stated in its protocol.
        cifar10_c: a folder with the arrays of CIFAR-10-C.

    Returns:
        The results by name: ``measure``, ``protocol``, the values, ``seconds`` and ``device``.

    Raises:
        UserError: an unknown measure, or a CIFAR-10-C folder that is none or does not fit the run.
    """
    check_measures(names)
    subject = Subject(run, dataset, images=images, cifar10_c=cifar10_c)
    results = {}
    for name in names:
        progress(name, 0, 1)
        start = time.perf_counter()
        values = MEASURES[name](subject, lambda done, total, name=name: progress(name, done, total))  # type: ignore[misc]
        seconds = round(time.perf_counter() - start, 3)
        results[name] = {"measure": name, **values, "seconds": seconds, "device": describe_device()}
        write_json(run.folder / "measures" / f"{name}.json", results[name])
    return results
