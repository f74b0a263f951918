"""A study as its folder keeps it, so that the same command goes on with it."""

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from strideflax.config import Config
from strideflax.errors import ConfigError, UserError
from strideflax.files import write_json
from strideflax.training.run_folder import LOCK, read_json
from strideflax.verdict.clock import SPENT
from strideflax.verdict.images import StudyImages
from strideflax.verdict.schedule import Schedule
from strideflax.verdict.study import Study

RECORD = "study.json"
TIMING = "timing"  # folder of the runs whose first steps are timed
UNPLANNED = (SPENT, TIMING)  # what a study that was killed before it had a plan leaves


def check_study_folder(folder: Path) -> None:
    """Raise UserError if ``folder`` holds anything but a study; write nothing."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; a study needs a folder: choose another --out")
    if not folder.exists() or (folder / RECORD).exists():
        return
    if any(not path.name.startswith(".") and path.name not in UNPLANNED for path in folder.iterdir()):
        raise UserError(f"{folder} is not empty and holds no study (it has no {RECORD}); choose another --out")


def write_study(study: Study, asked: Config, schedule: Schedule) -> None:
    """Write ``study.json``: what was asked for, and what was planned."""
    values = {
        "operators": study.operators,
        "asked": asked.to_dict(),
        "config": study.config.to_dict(),
        "images": asdict(study.images),
        "schedule": asdict(schedule),
        "planned_pairs": study.planned_pairs,
    }
    write_json(study.folder / RECORD, values)


def read_study(asked: Study) -> tuple[Study, Schedule]:
    """Return the study that was begun in the folder of the one that is ``asked`` for, and its schedule.

    Raises:
        UserError: the file is damaged, or the study has other operators, another configuration or other images.
    """
    path = asked.folder / RECORD
    values = read_json(path)
    try:
        before = Config.from_dict(values["asked"])
        study = Study(
            config=Config.from_dict(values["config"]),
            operators=tuple(values["operators"]),
            folder=asked.folder,
            images=StudyImages(**values["images"]),
            planned_pairs=values.get("planned_pairs"),
        )
        schedule = Schedule(**values["schedule"])
    except (KeyError, TypeError, ConfigError) as error:
        raise UserError(f"{path} is damaged: {error!r}; choose another --out") from None
    differences: dict[str, tuple[Any, Any]] = asked.config.differences(before)
    if study.operators != asked.operators:
        differences["operators"] = (",".join(asked.operators), ",".join(study.operators))
    if study.images.fingerprint != asked.images.fingerprint:
        differences["the images' fingerprint"] = (asked.images.fingerprint, study.images.fingerprint)
    if differences:
        fields = ", ".join(f"{name} is {there!r} there, {here!r} here" for name, (here, there) in differences.items())
        raise UserError(f"{asked.folder} holds another study: {fields}; choose another --out")
    return study, schedule


def forget_unplanned(folder: Path) -> None:
    """Remove the folder again if its study never had a plan and nothing else is in it."""
    if (folder / RECORD).exists():
        return
    for name in (SPENT, LOCK):
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it is not empty
        folder.rmdir()
