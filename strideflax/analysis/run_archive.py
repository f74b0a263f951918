"""Runs in one compact file, and back: the folders that a table of runs was read from, as far as it tells of them.

A file holds what `strideflax.results.load` reads of each run: its configuration, its result and the numbers of its measures. It
does not hold weights, learning curves and logits.
"""

import os
import typing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from strideflax.analysis.run_table import is_missing, load, save
from strideflax.config import Config
from strideflax.config_fields import field_type
from strideflax.errors import ConfigError, UserError
from strideflax.files import write_json
from strideflax.training.result import TrainingResult

DATASET = "dataset_"
GROUPED = ("versions",)  # fields of a result that are groups themselves
UNFINISHED, UNREADABLE = "unfinished", "unreadable"


@dataclass(frozen=True)
class Imported:
    """How many of a file's runs were written, had a result there already, or say too little to be a run again."""

    written: int
    present: int
    unreadable: int


def export_runs(folder: str | os.PathLike[str], path: str | os.PathLike[str]) -> int:
    """Write the runs below ``folder`` to a ``.jsonl`` or ``.jsonl.gz`` file, and return how many.

    Raises:
        UserError: there are none, or the file's name ends otherwise.
    """
    if not str(path).endswith((".jsonl", ".jsonl.gz")):
        raise UserError(f"a file of results ends in .jsonl or .jsonl.gz, got {path}")
    frame = load(folder)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save(frame, path)
    return len(frame)


def import_runs(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Imported:
    """Write each run of a file into a folder of its own below ``folder``, so that `load` reads the same there.

    A run that has a result there is left as it is. A sweep whose folder this is passes over what has ended.

    Raises:
        UserError: no such file or no file of results, or a run whose name leads out of ``folder``; nothing is written.
    """
    rows = load(path).to_dict("records")
    for row in rows:
        place = PurePosixPath(str(row["run"]))
        if place.is_absolute() or ".." in place.parts or "\\" in str(place) or not place.parts:
            raise UserError(f"{path}: a run is named {row['run']!r}, which is no folder below {folder}")
    written = present = unreadable = 0
    for row in rows:
        run = Path(folder) / str(row["run"])
        if row["status"] == UNREADABLE:
            unreadable += 1
        elif (run / "result.json").exists():
            present += 1
        else:
            _write_run(run, {str(name): _plain(value) for name, value in row.items() if not is_missing(value)})
            written += 1
    return Imported(written, present, unreadable)


def _write_run(run: Path, row: dict[str, Any]) -> None:
    """Write ``config.json`` and ``measures/*.json``, and the result last, as a run does."""
    config: dict[str, Any] = {}
    result: dict[str, Any] = {}
    dataset: dict[str, Any] = {}
    measures: dict[str, dict[str, Any]] = {}
    kinds = typing.get_type_hints(TrainingResult)
    for name, value in row.items():
        first, _, rest = name.partition(".")
        if first in typing.get_type_hints(Config):
            _put(config, name, _whole(value, _kind_of_field(name)))
        if name.startswith(DATASET):
            dataset[name.removeprefix(DATASET)] = _whole(value, int if name.endswith("_count") else None)
        elif first in GROUPED:
            _put(result, name, value)
        elif first in kinds and not rest:
            result[name] = _whole(value, kinds[first])
        elif first not in typing.get_type_hints(Config) and rest:
            _put(measures.setdefault(first, {}), rest, value)
    if not (run / "config.json").exists():
        write_json(run / "config.json", config)
    for measure, values in measures.items():
        write_json(run / "measures" / f"{measure}.json", values)
    if row["status"] != UNFINISHED:
        groups = {"dataset": dataset, "config": config}
        write_json(run / "result.json", result | {name: group for name, group in groups.items() if group})


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    """Set the field at the dotted ``name`` in nested ``values``."""
    *groups, last = name.split(".")
    for group in groups:
        values = values.setdefault(group, {})
    values[last] = value


def _kind_of_field(name: str) -> Any:
    try:
        return field_type(name)
    except ConfigError:  # of another version
        return None


def _whole(value: Any, kind: Any) -> Any:
    """Return 3 for 3.0 where the field is an int: a column in which some runs have no number holds floats."""
    is_int = kind is int or kind == int | None
    return int(value) if is_int and isinstance(value, float) and value.is_integer() else value


def _plain(value: Any) -> Any:
    """Return a cell as JSON has it."""
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return value.item() if hasattr(value, "item") else value
