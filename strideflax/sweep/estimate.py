"""How long a sweep will take."""

import time
from collections.abc import Sequence
from functools import cache

import jax
import jax.numpy as jnp

from strideflax.config import Config, DataConfig
from strideflax.data import load_dataset
from strideflax.data.published_sets import PUBLISHED_SETS
from strideflax.inspection import count_macs
from strideflax.model import ModelConfig, abstract_model
from strideflax.programs import Program
from strideflax.sweep.plan import SweepRun
from strideflax.training.result import FINISHED, read_result

STEP_COST = 3.0  # a training step's multiply-adds over those of the forward pass
ENOUGH = 0.02  # share of the work after which the speed so far says more than the plan
PEAK_SHARE = 0.3  # of a matrix product's speed that a training step reaches, roughly


class TimeLeft:
    """About how long a sweep still takes: said before it starts, and better and better while it runs.

    Args:
        runs: all runs of the sweep.
        workers: how many of them run at once.
    """

    def __init__(self, runs: Sequence[SweepRun], workers: int):
        self._runs = runs
        self._at_start = macs_left(runs)
        self._planned_seconds = estimate_seconds(runs, workers)
        self._start = time.monotonic()

    def seconds(self) -> float:
        """Return the seconds left: by the plan until `ENOUGH` of the work is done, then by the speed since the start."""
        left = macs_left(self._runs)
        done = self._at_start - left
        if done == 0 or done < ENOUGH * self._at_start:
            return self._planned_seconds
        return (time.monotonic() - self._start) * left / done


def estimate_seconds(runs: Sequence[SweepRun], workers: int) -> float:
    """Return about how long the unfinished runs will take: from finished runs' speed, else from this device's.

    The device's speed is that of a timed matrix product, times `PEAK_SHARE`. Workers share it, while finished runs
    tell how fast each of several workers is.
    """
    macs_done = 0.0
    seconds_done = 0.0
    for run in runs:
        result = read_result(run.folder)
        if result is not None and result.status == FINISHED and result.train_seconds:
            macs_done += training_macs(run.config)
            seconds_done += result.train_seconds
    if seconds_done:
        return macs_left(runs) / (macs_done / seconds_done) / workers
    return macs_left(runs) / (matmul_macs_per_second() * PEAK_SHARE)


def macs_left(runs: Sequence[SweepRun]) -> float:
    """Return the multiply-adds that training takes for all runs that have no result yet."""
    total = 0.0
    for run in runs:
        if read_result(run.folder) is None:
            total += training_macs(run.config) * (1 - run.share_done)
    return total


def training_macs(config: Config) -> float:
    """Return the multiply-adds that training takes for a whole run."""
    images, shape, classes = _images(config.data)
    return STEP_COST * _forward_macs(config.model, shape, classes) * images * config.epochs


@cache
def _forward_macs(config: ModelConfig, shape: tuple[int, ...], classes: int) -> int:
    """Return the multiply-adds for an image, once for all seeds and learning rates."""
    return count_macs(abstract_model(config, classes=classes, in_features=shape[-1]), shape[:2])


@cache
def _images(data: DataConfig) -> tuple[int, tuple[int, ...], int]:
    """Return how many images there are to train on, an image's shape, and the number of classes.

    A user's own images are read, which also puts them into the cache before workers look for them there.
    """
    if data.is_own:
        dataset = load_dataset(data)
        return len(dataset.train), dataset.train.images.shape[1:], len(dataset.classes)
    rows, columns = data.stretch
    known = PUBLISHED_SETS[data.name]
    count = data.train_count or known.train_count - (data.val_count or 0)
    return count, (known.side * rows, known.side * columns, 3), known.classes


def matmul_macs_per_second(size: int = 1024) -> float:
    """Return this device's speed in a square float32 matrix product, best of five."""
    x = jnp.ones((size, size))
    product = Program(lambda x: x @ x)
    jax.block_until_ready(product(x))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready(product(x))
        best = min(best, time.perf_counter() - start)
    return size**3 / best
