"""The run folder, the unit of truth: ``config.json``, ``metrics.jsonl``, ``checkpoints/``, ``result.json``, ``measures/``."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from strideflax.config import Config, ConfigError
from strideflax.errors import UserError
from strideflax.files import naming_file, null_if_not_finite, write_json, write_whole

ORIGIN = ".origin.json"
LOCK = ".lock"


class RunFolderError(UserError, ValueError):
    """A folder that is not what a run leaves behind."""


class InUseError(RunFolderError):
    """Another process is working in the folder."""


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep every other process out of the folder.

    Raises:
        InUseError: one is in it.
    """
    try:
        lock = filelock.FileLock(folder / LOCK).acquire(timeout=0)
    except filelock.Timeout:
        raise InUseError(f"{folder} is in use by another process; wait for it or choose another --workdir") from None
    with lock:
        yield


def is_locked(folder: Path) -> bool:
    """Return whether a process is working in the folder."""
    if not (folder / LOCK).exists():
        return False
    try:
        with lock_folder(folder):
            return False
    except InUseError:
        return True


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a run.

    Raises:
        RunFolderError: the file is missing, not JSON, or not an object.
    """
    try:
        value = json.loads(path.read_bytes(), parse_constant=lambda name: None)  # JSON has no NaN and no infinities
    except FileNotFoundError:
        raise RunFolderError(f"{path.parent} has no {path.name}: not a run folder, or not a finished run") from None
    except NotADirectoryError:
        raise RunFolderError(f"{path.parent} is a file, expected the folder of a run") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{path} can't be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise RunFolderError(f"{path} must hold a JSON object, got {type(value).__name__}")
    return value


def read_run_config(folder: Path) -> Config:
    """Return the configuration in ``config.json``.

    Raises:
        RunFolderError: there is none, it is damaged, or it has an operator that only the run's config file knows. That file
            is named and not run, since a folder may come from anybody.
    """
    path = folder / "config.json"
    values = read_json(path)
    try:
        return Config.from_dict(values)
    except ConfigError as error:
        if "unknown downsampling operator" in str(error) and (origin := _origin(folder)):
            raise RunFolderError(
                f"{folder}: {error}; its config file was {origin}: if that defines the operator, give it with --config"
            ) from None
        raise RunFolderError(f"{path} is damaged: {error}") from None


def _origin(folder: Path) -> str | None:
    """Return the config file that the run was begun with, if it was noted."""
    path = folder / ORIGIN
    return str(read_json(path).get("config_file")) if path.exists() else None


def check_folder(folder: Path, config: Config) -> None:
    """Raise RunFolderError if ``folder`` holds anything but a run of this configuration; write nothing."""
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{folder} is a file; a run needs a folder: choose another --workdir")
    if not (folder / "config.json").exists():
        if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise RunFolderError(
                f"{folder} is not empty and not a run folder (it has no config.json); choose another --workdir"
            )
        return
    differences = config.differences(read_run_config(folder))
    if differences:
        fields = ", ".join(f"{name} is {there!r} there, {here!r} here" for name, (here, there) in differences.items())
        raise RunFolderError(f"{folder} belongs to another configuration: {fields}; choose another --workdir")


def check_same_images(folder: Path, config: Config, before: str, now: str) -> None:
    """Raise RunFolderError if the run was begun on other images than those found now, by their fingerprints.

    ``config`` says where those were looked for.
    """
    if now == before:
        return
    there, here = read_run_config(folder).data.dir, config.data.dir
    found, same = "those found now", "the same images"
    if there != here:
        found = f"those of config.data.dir={here}"
        same = f"its own by --config.data.dir={there}"
    raise RunFolderError(
        f"{folder} was begun on images with fingerprint {before}, {found} have {now}; give it {same}, or choose another "
        "--workdir for these"
    )


def claim_folder(folder: Path, config: Config, config_file: str | None = None) -> None:
    """Create the folder with its ``config.json``, or check that it already belongs to this configuration.

    ``config_file`` is noted beside it, for people and for `read_run_config`'s error.

    Raises:
        RunFolderError: the folder holds something else, or can't be written.
    """
    check_folder(folder, config)
    if not (folder / "config.json").exists():
        try:
            if config_file is not None:
                write_json(folder / ORIGIN, {"config_file": config_file})
            write_json(folder / "config.json", config.to_dict())
        except OSError as error:
            raise RunFolderError(f"{folder} can't be written: {error.strerror}") from None


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the epochs in ``metrics.jsonl``, up to the first line that is not a record, e.g. one that a kill cut short."""
    path = folder / "metrics.jsonl"
    records: list[dict[str, Any]] = []
    if not path.exists():
        return records
    for line in path.read_bytes().split(b"\n"):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(record, dict) or type(record.get("epoch")) is not int or type(record.get("step")) is not int:
            break
        records.append(record)
    return records


def append_metrics(folder: Path, record: dict[str, Any]) -> None:
    """Add one epoch to ``metrics.jsonl``, in one write, which no other process's write can split."""
    path = folder / "metrics.jsonl"
    line = json.dumps(null_if_not_finite(record), allow_nan=False) + "\n"
    try:
        with path.open("a") as file:
            file.write(line)
    except OSError as error:
        raise naming_file(error, path) from None


def forget_metrics_after(folder: Path, step: int) -> None:
    """Drop the epochs that end after ``step`` from ``metrics.jsonl``: the run resumes there and will write them again."""
    lines = ""
    for record in read_metrics(folder):
        if record["step"] <= step:
            lines += json.dumps(record) + "\n"
    write_whole(folder / "metrics.jsonl", lines.encode())
