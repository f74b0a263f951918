"""A sweep: the runs that a config file's ``sweep()`` yields, each with its folder and where it stands."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from strideflax.config import Config
from strideflax.config_file import read_sweep
from strideflax.data import cifar10_layout, shapes
from strideflax.errors import UserError
from strideflax.inspection import count_macs
from strideflax.model import abstract_model
from strideflax.training.result import FINISHED, read_result
from strideflax.training.run_folder import claim_folder, is_locked, read_metrics

RUNNING, STARTED, WAITING = "running", "started", "waiting"
TRAIN_IMAGES = {
    "cifar10": cifar10_layout.TRAIN_COUNT,
    "shapes": shapes.TRAIN_COUNT,
}  # for estimates, before any is read
PEAK_SHARE = 0.3  # of a matrix product's speed that a training step reaches, roughly


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
        return " ".join(f"{name.rsplit('.', 1)[-1]}={value}" for name, value in self.changes.items()) or "baseline"

    @property
    def status(self) -> str:
        """ "finished", "failed" or "diverged" by its result; "running" if a process holds it; "started" or "waiting"."""
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
        out: the folder that holds a folder a run, named by its configuration's fingerprint.
        overrides: ``--config.FIELD=VALUE`` words for every run.
        wanted: ``FIELD=VALUE`` filters; a run must match all. The field may leave out its group.

    Raises:
        SweepError: a filter that no run matches, or two runs with the same configuration.
    """
    runs = [SweepRun(changes, config, out / config.fingerprint) for changes, config in read_sweep(spec, overrides)]
    doubles = len(runs) - len({run.folder for run in runs})
    if doubles:
        raise SweepError(
            f"{spec}: sweep() yields {doubles} runs twice; each must differ in something that changes a result"
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
    return any(
        (field == name or field.endswith(f".{name}")) and str(entry) == value for field, entry in run.changes.items()
    )


def write_plan(runs: Sequence[SweepRun]) -> None:
    """Give every run its folder with its ``config.json``: all that a worker needs."""
    for run in runs:
        claim_folder(run.folder, run.config)


def estimate_seconds(runs: Sequence[SweepRun], workers: int) -> float:
    """Return about how long the unfinished runs will take: from finished runs' speed, else from this device's.

    A step costs three times the forward MACs. The device's speed is a timed matrix product, times `PEAK_SHARE`.
    """
    left = [(run, (1 - run.share_done)) for run in runs if run.status != FINISHED]
    work = {run.folder: _train_macs(run.config) for run in runs}
    done = [run for run in runs if run.status == FINISHED]
    if done:
        results = [read_result(run.folder) for run in done]
        seconds = sum((result and result.train_seconds) or 0.0 for result in results)
        speed = sum(work[run.folder] for run in done) / seconds
        return sum(work[run.folder] * share for run, share in left) / speed / workers
    return sum(work[run.folder] * share for run, share in left) / (matmul_macs_per_second() * PEAK_SHARE)


def _train_macs(config: Config) -> float:
    images = config.data.train_count or TRAIN_IMAGES[config.data.name] - config.data.val_count
    return 3.0 * count_macs(abstract_model(config.model), (32, 32)) * images * config.epochs


def matmul_macs_per_second(size: int = 1024) -> float:
    """Return this device's speed in a square float32 matrix product, best of five."""
    x = jnp.ones((size, size))
    product = jax.jit(lambda x: x @ x)
    jax.block_until_ready(product(x))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready(product(x))
        best = min(best, time.perf_counter() - start)
    return size**3 / best
