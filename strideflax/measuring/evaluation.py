"""Measure a finished run, and keep the results in its folder."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax

from strideflax.data import DataError, Dataset
from strideflax.environment import describe_device
from strideflax.files import write_json
from strideflax.measuring.measures import MEASURES, check_measures, measures_of
from strideflax.measuring.subject import Subject, load_images
from strideflax.training import FinishedRun


def evaluate_run(
    run: FinishedRun,
    names: Sequence[str] | None = None,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
    *,
    load: Callable[[], Dataset] | None = None,
    images: int | None = None,
    cifar10_c: Path | None = None,
) -> dict[str, dict[str, Any]]:
    """Measure a finished run and write each result to ``measures/NAME.json`` in its folder, whole or not at all.

    Args:
        run: the run, from `strideflax.training.restore_run`.
        names: of `MEASURES`; None takes all that fit the run's task.
        progress: told a measure's name and how far it is, as (name, done, total).
        load: returns the data set that the run was trained on; None loads it from where the run found it.
        images: test images that a measure uses at most, None for each measure's own number; stated in its protocol.
        cifar10_c: a folder with the arrays of CIFAR-10-C.

    Returns:
        The results by name: ``measure``, ``protocol``, the values, ``seconds`` and ``device``.

    Raises:
        UserError: a measure that is unknown or not for this task; images that are not there, or are not those of the
            run; or a folder that is not CIFAR-10-C or does not fit the run. Images are only looked for if one of the
            measures needs them.
    """
    names = measures_of(run.config.task) if names is None else names
    check_measures(names, run.config.task)
    subject = Subject(run, load or partial(load_images, run), max_images=images, cifar10_c=cifar10_c)
    _require_images(subject, names)
    results = {}
    for name in names:
        progress(name, 0, 1)
        start = time.perf_counter()
        with jax.transfer_guard("allow"):  # measures take images from the host and bring numbers back
            values = MEASURES[name].function(subject, partial(progress, name))
        seconds = round(time.perf_counter() - start, 3)
        results[name] = {"measure": name, **values, "seconds": seconds, "device": describe_device()}
        write_json(run.folder / "measures" / f"{name}.json", results[name])
    return results


def _require_images(subject: Subject, names: Sequence[str]) -> None:
    """Load the images before anything is computed if one of the measures needs them."""
    if not any(MEASURES[name].needs_images for name in names):
        return
    try:
        subject.dataset  # noqa: B018, a cached property
    except DataError as error:
        without = [name for name in measures_of(subject.run.config.task) if not MEASURES[name].needs_images]
        raise DataError(f"{error}; without images there are --measures {','.join(without)}") from None
