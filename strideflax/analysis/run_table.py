"""Runs as a table: one row per run, tidy columns, units in the names.

A row holds what the run's folder says: the config flattened with dots (``model.downsample``), its numbers, where they
come from, and each measure's numbers and device (``calibration.images`` from ``measures/calibration.json``). Every run
found has a row, and its ``status`` says whether it counts:

- ``finished``: it has numbers.
- ``failed``, ``diverged``: it says so itself; ``error`` has the reason.
- ``unfinished``: a config and no result yet: still running, or killed.
- ``unreadable``: files that are broken or not strideflax's; ``error`` says which.

A run that is not finished has no accuracy and no loss (NaN), so that no average can take it in.
"""

import gzip
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from strideflax.config_values import flat, with_not_set_as_before
from strideflax.errors import UserError, one_line
from strideflax.training.result import FINISHED
from strideflax.training.run_folder import read_json, read_metrics

SHIPPED = Path(__file__).parent / "shipped"
OUTCOMES = ("test_accuracy", "test_loss", "val_accuracy", "val_loss", "train_loss")
COUNTS = ("macs", "params")
COSTS = (*COUNTS, "images_per_second", "train_seconds", "compile_seconds")
LEADING = ("run", "status", "seed", *OUTCOMES, *COSTS, "dataset_name", "dataset_fingerprint", "device")


def load(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Return the runs below a folder, or those that `save` wrote to one file, one row each.

    Args:
        path: a folder (runs are the folders below it with a ``config.json`` or ``result.json``; others are passed
            over), or a ``.jsonl`` or ``.jsonl.gz`` file.

    Returns:
        The columns `LEADING`, then all others. ``run`` is the run's folder relative to ``path``. Accuracies are
        fractions.

    Raises:
        UserError: nothing is there, or no run is.
    """
    path = Path(path)
    if path.is_dir():
        rows = [_row(folder, name) for folder, name in _run_folders(path)]
    elif path.is_file():
        rows = _read_rows(path)
    else:
        raise UserError(f"no such file or folder: {path}")
    if not rows:
        raise UserError(f"{path} holds no runs; expected folders with a config.json or a result.json, or rows of runs")
    return _frame(rows)


def shipped(name: str) -> pd.DataFrame:
    """Return the runs of a study that comes with strideflax, e.g. ``"ablation_shapes"``; see `load`.

    Raises:
        UserError: there is no such study.
    """
    studies = {file.name.removesuffix(".jsonl.gz"): file for file in sorted(SHIPPED.glob("*.jsonl.gz"))}
    if name not in studies:
        raise UserError(f"no study {name!r} comes with strideflax; there are: {', '.join(studies) or 'none'}")
    return load(studies[name])


def save(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write ``frame`` to a ``.jsonl`` or ``.jsonl.gz`` file, one JSON object per run, that `load` reads back unchanged.

    Numbers that are missing or not finite become null. The same frame gives the same bytes.

    Raises:
        ValueError: the file's name ends otherwise.
    """
    path = Path(path)
    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        raise ValueError(f"path must end in .jsonl or .jsonl.gz, got {path.name!r}")
    lines = []
    for row in frame.to_dict("records"):
        known = {name: None if is_missing(value) else value for name, value in row.items()}
        lines.append(json.dumps(known, allow_nan=False) + "\n")
    content = "".join(lines).encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def curves(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """Return the learning curves of the runs below ``folder``: one row per run and epoch with ``metrics.jsonl``'s fields.

    ``run`` is named as in `load`.

    Raises:
        UserError: ``folder`` is not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"learning curves are read from a folder of runs, got {folder}")
    rows = []
    for run, name in _run_folders(folder):
        for record in read_metrics(run):
            rows.append({"run": name, **record})
    return pd.DataFrame(rows, columns=None if rows else ["run", "epoch"])


def is_missing(value: Any) -> bool:
    """Return whether a cell holds nothing: None, NaN, or a number that is not finite."""
    return value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value))


def _run_folders(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield each run's folder and its name relative to ``root``, in the order of the names."""
    for folder, subfolders, files in os.walk(root):
        subfolders.sort()
        if {"config.json", "result.json"} & set(files):
            subfolders.clear()  # what is inside a run is not another run
            path = Path(folder)
            yield path, root.resolve().name if path == root else path.relative_to(root).as_posix()


def _row(folder: Path, name: str) -> dict[str, Any]:
    try:
        finished = (folder / "result.json").exists()
        row = _result(folder) if finished else {"status": "unfinished"} | _config(folder)
    except (OSError, ValueError) as error:
        return {"run": name, "status": "unreadable", "error": one_line(error)}
    if row["status"] != FINISHED:
        row.update(dict.fromkeys(OUTCOMES))
    for file in sorted(folder.glob("measures/*.json")):
        try:
            measure = flat(read_json(file), f"{file.stem}.")
        except (OSError, ValueError) as error:
            row["error"] = one_line(error)
            continue
        row.update({name: value for name, value in measure.items() if _is_number(value) or name.endswith(".device")})
    return {"run": name, **row}


def _result(folder: Path) -> dict[str, Any]:
    result = read_json(folder / "result.json")
    if not isinstance(result.get("status"), str):
        raise ValueError(f"{folder / 'result.json'} has no status, so it is not a strideflax run's")
    config = result.pop("config", None)
    dataset = result.pop("dataset", None) or {}
    if not (isinstance(config or {}, Mapping) and isinstance(dataset, Mapping)):
        raise ValueError(f"{folder / 'result.json'} has no groups of fields as config and dataset")
    fields = flat(with_not_set_as_before(config)) if config else _config(folder)
    return fields | flat(result) | flat(dataset, "dataset_")


def _config(folder: Path) -> dict[str, Any]:
    """Return the fields of ``config.json`` by their dotted names, "not set" as in older runs."""
    config = read_json(folder / "config.json")
    if "seed" not in config or not isinstance(config.get("model"), Mapping):
        raise ValueError(f"{folder / 'config.json'} has no seed and model, so it is not a strideflax run's")
    return flat(with_not_set_as_before(config))


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    columns = dict.fromkeys(LEADING)
    known = []
    for row in rows:
        columns.update(dict.fromkeys(row))
        known.append({name: _hashable(value) for name, value in row.items() if value is not None})
    frame = pd.DataFrame(known, columns=list(columns))
    for name in (*OUTCOMES, *COSTS):
        frame[name] = pd.to_numeric(frame[name], errors="coerce").astype(float).where(np.isfinite)
    for name in COUNTS:
        frame[name] = frame[name].round().astype("Int64")  # pandas' integers that may be missing
    return frame


def _hashable(value: Any) -> Any:
    """Return JSON's lists as tuples, so that columns such as ``model.widths`` can be grouped by; objects in them as text."""
    if isinstance(value, Mapping):
        return json.dumps(value)
    return tuple(_hashable(entry) for entry in value) if isinstance(value, list) else value


def _read_rows(file: Path) -> list[dict[str, Any]]:
    try:
        content = file.read_bytes()
        text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode()
        rows = [json.loads(line) for line in text.splitlines()]
    except (OSError, EOFError, ValueError, RecursionError):
        raise UserError(
            f"{file} is not a results file; expected .jsonl or .jsonl.gz with one JSON object per line"
        ) from None
    if not all(isinstance(row, dict) and "run" in row and "status" in row for row in rows):
        raise UserError(f"{file} is not a results file; expected a run and a status in each row")
    return rows


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
