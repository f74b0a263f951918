"""A sweep: the runs that a config file's ``sweep()`` yields, each with its folder and where it stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strideflax.config import Config
from strideflax.config_fields import typed_value, value_of
from strideflax.config_file import read_sweep
from strideflax.errors import UserError
from strideflax.training.result import read_result
from strideflax.training.run_folder import claim_folder, is_locked, read_metrics
from strideflax.wording import counted

RUNNING, STARTED, WAITING = "running", "started", "waiting"


class SweepError(UserError, ValueError):
    """A sweep that can't be run."""


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep: what it changes, its whole configuration, its folder."""

    changes: dict[str, Any]
    config: Config
    folder: Path

    @property
    def title(self) -> str:
        """The changes in words, e.g. ``"downsample=max_pool crop=4 seed=0"``."""
        words = [f"{name.rpartition('.')[2]}={value}" for name, value in self.changes.items()]
        return " ".join(words) or "baseline"

    @property
    def status(self) -> str:
        """Where the run stands.

        "finished", "failed" or "diverged", as its result says; without a result "running" if a process trains it, or else
        "started" if there is an epoch to go on from, or "waiting".
        """
        if (result := read_result(self.folder)) is not None:
            return result.status
        if is_locked(self.folder):
            return RUNNING
        return STARTED if (self.folder / "metrics.jsonl").exists() else WAITING

    @property
    def share_done(self) -> float:
        """Share of the epochs done, from 0 to 1."""
        records = read_metrics(self.folder)
        return min(records[-1]["epoch"] / self.config.epochs, 1.0) if records else 0.0


def plan_sweep(spec: str, out: Path, overrides: Sequence[str] = (), wanted: Sequence[str] = ()) -> list[SweepRun]:
    """Return the sweep's runs in order, writing nothing.

    Args:
        spec: a config file with ``sweep()``, e.g. ``"configs/ablation.py"``.
        out: the folder that holds one folder per run, named by its configuration's fingerprint.
        overrides: ``--config.FIELD=VALUE`` words for every run.
        wanted: ``FIELD=VALUE`` filters; a run must match all. The field may leave out its group.

    Raises:
        SweepError: a filter that no run matches, or two runs with the same configuration.
    """
    runs = []
    for changes, config in read_sweep(spec, overrides):
        runs.append(SweepRun(changes, config, out / config.fingerprint))
    doubles = len(runs) - len({run.folder for run in runs})
    if doubles:
        raise SweepError(
            f"{spec}: sweep() yields {counted(doubles, 'run')} twice; each must differ in something that changes a result"
        )
    for word in wanted:
        name, equals, value = word.partition("=")
        if not equals:
            raise SweepError(f"--filter must be FIELD=VALUE, got {word!r}")
        runs = [run for run in runs if _matches(run, name, value)]
    if not runs:
        raise SweepError(f"{spec}: no run matches {' '.join(wanted) or 'the sweep'}; see --dry-run without --filter")
    return runs


def _matches(run: SweepRun, name: str, value: str) -> bool:
    for field in run.changes:
        is_meant = field == name or field.endswith(f".{name}")
        if is_meant and value_of(run.config, field) == typed_value(field, value):
            return True
    return False


def write_plan(runs: Sequence[SweepRun], spec: str | None = None) -> None:
    """Give every run its folder with its ``config.json``, and the config file's name."""
    for run in runs:
        claim_folder(run.folder, run.config, spec)
