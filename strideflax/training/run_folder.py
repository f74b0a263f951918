"""The run folder, the unit of truth: config.json, metrics.jsonl, checkpoints/, result.json, measures/."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strideflax.config import Config
from strideflax.errors import UserError


class RunFolderError(UserError, ValueError):
    """A folder that is not what a run leaves behind."""


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write valid JSON aside, flush it to disk, then rename: the file is whole or absent. NaN becomes null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("w") as file:
            json.dump(finite(value), file, indent=2, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def finite(value: Any) -> Any:
    """Return ``value`` with every NaN and infinity replaced by None, since JSON has neither."""
    if isinstance(value, dict):
        return {name: finite(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``.

    Raises:
        RunFolderError: the file is missing, not JSON, or no object.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise RunFolderError(f"{path.parent} has no {path.name}: not a run folder, or not a finished run") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RunFolderError(f"{path} can't be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise RunFolderError(f"{path} must hold a JSON object, got {type(value).__name__}")
    return value


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the epochs in ``metrics.jsonl``; a last line that a kill cut short is left out."""
    path = folder / "metrics.jsonl"
    records = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def keep_metrics(folder: Path, steps: int) -> None:
    """Drop the epochs after ``steps`` from ``metrics.jsonl``: a resumed run will write them again."""
    kept = [json.dumps(record) + "\n" for record in read_metrics(folder) if record["step"] <= steps]
    aside = folder / ".metrics.jsonl"
    aside.write_text("".join(kept))
    aside.replace(folder / "metrics.jsonl")


def append_metrics(folder: Path, record: dict[str, Any]) -> None:
    """Add one epoch to ``metrics.jsonl``."""
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(finite(record), allow_nan=False) + "\n")


@dataclass(frozen=True)
class FinishedRun:
    """What a finished run left: its folder, its configuration, its result and the model with the final weights."""

    folder: Path
    config: Config
    result: dict[str, Any]
    model: Any


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return the run's result, or None if it has not ended."""
    return read_json(folder / "result.json") if (folder / "result.json").exists() else None


def claim_folder(folder: Path, config: Config) -> None:
    """Create the folder with its ``config.json``, or check that it already belongs to this configuration.

    Raises:
        RunFolderError: the folder holds something else.
    """
    path = folder / "config.json"
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{folder} is a file; a run needs a folder: choose another --workdir")
    if not path.exists():
        if folder.exists() and any(p for p in folder.iterdir() if not p.name.startswith(".")):
            raise RunFolderError(
                f"{folder} is not empty and not a run folder (it has no config.json); choose another --workdir"
            )
        try:
            write_json(path, config.to_dict())
        except OSError as error:
            raise RunFolderError(f"{folder} can't be written: {error.strerror}") from None
        return
    there = Config.from_dict(read_json(path)).fingerprint
    if there != config.fingerprint:
        raise RunFolderError(
            f"{folder} belongs to another configuration (fingerprint {there}, this one is {config.fingerprint}); "
            "choose another --workdir"
        )
