"""The run folder, the unit of truth: config.json, metrics.jsonl, checkpoints/, result.json, measures/."""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from strideflax.config import Config, ConfigError
from strideflax.errors import UserError


class RunFolderError(UserError, ValueError):
    """A folder that is not what a run leaves behind."""


class InUseError(RunFolderError):
    """Another process is working in the folder."""


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep every other process out of the folder.

    Raises:
        InUseError: one is in it.
    """
    try:
        lock = filelock.FileLock(folder / ".lock").acquire(timeout=0)
    except filelock.Timeout:
        raise InUseError(f"{folder} is in use by another process; wait for it or choose another --workdir") from None
    with lock:
        yield


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write valid JSON aside, flush it to disk, then rename: the file is whole or absent. NaN becomes null.

    Raises:
        OSError: a full disk or a read-only folder; an older file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("w") as file:
            json.dump(finite(value), file, indent=2, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise _at(path, error) from None
    finally:
        with contextlib.suppress(OSError):  # a read-only folder, which took nothing
            aside.unlink(missing_ok=True)


def _at(path: Path, error: OSError) -> OSError:
    """Return ``error`` with the file that could not be written, which a full disk does not tell."""
    return OSError(error.errno, error.strerror, str(path))


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
        value = json.loads(path.read_bytes(), parse_constant=lambda name: None)  # NaN and infinities are no JSON
    except FileNotFoundError:
        raise RunFolderError(f"{path.parent} has no {path.name}: not a run folder, or not a finished run") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{path} can't be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise RunFolderError(f"{path} must hold a JSON object, got {type(value).__name__}")
    return value


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the epochs in ``metrics.jsonl``, up to the first line that is none: one that a kill cut short."""
    path = folder / "metrics.jsonl"
    records = []
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(record, dict) or not all(type(record.get(name)) is int for name in ("epoch", "step")):
            break
        records.append(record)
    return records


def keep_metrics(folder: Path, steps: int) -> None:
    """Drop the epochs after ``steps`` from ``metrics.jsonl``: a resumed run will write them again."""
    kept = [json.dumps(record) + "\n" for record in read_metrics(folder) if record["step"] <= steps]
    aside = folder / ".metrics.jsonl"
    try:
        aside.write_text("".join(kept))
        aside.replace(folder / "metrics.jsonl")
    except OSError as error:
        raise _at(folder / "metrics.jsonl", error) from None


def append_metrics(folder: Path, record: dict[str, Any]) -> None:
    """Add one epoch to ``metrics.jsonl``, in one write, which no other process's write can split."""
    line = json.dumps(finite(record), allow_nan=False) + "\n"
    try:
        with (folder / "metrics.jsonl").open("a") as file:
            file.write(line)
    except OSError as error:
        raise _at(folder / "metrics.jsonl", error) from None


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
        RunFolderError: the folder holds something else, or can't be written.
    """
    check_folder(folder, config)
    if not (folder / "config.json").exists():
        try:
            write_json(folder / "config.json", config.to_dict())
        except OSError as error:
            raise RunFolderError(f"{folder} can't be written: {error.strerror}") from None


def check_folder(folder: Path, config: Config) -> None:
    """Raise RunFolderError if ``folder`` holds anything but a run of this configuration; write nothing."""
    path = folder / "config.json"
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{folder} is a file; a run needs a folder: choose another --workdir")
    if not path.exists():
        if folder.exists() and any(p for p in folder.iterdir() if not p.name.startswith(".")):
            raise RunFolderError(
                f"{folder} is not empty and not a run folder (it has no config.json); choose another --workdir"
            )
        return
    try:
        differences = config.differences(Config.from_dict(read_json(path)))
    except ConfigError as error:
        raise RunFolderError(f"{path} is damaged: {error}") from None
    if differences:
        fields = ", ".join(f"{name} is {there!r} there, {here!r} here" for name, (here, there) in differences.items())
        raise RunFolderError(f"{folder} belongs to another configuration: {fields}; choose another --workdir")
