"""A guard against regressions: how much faster than XLA's plain formulation each operator must stay, as ratios.

Small batches, so that it takes seconds; one core, as threads that wait for each other lose more on a busy machine than those
that do not, and the ratio would follow the machine's mood. The floors are well below what is measured on a quiet machine, so
that a noisy one does not fail, and above 1: what a formulation that has lost its point would reach.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from strideflax.benchmark.ratios import measure_ratios
from strideflax.benchmark.remote import RemoteContender
from strideflax.benchmark.workloads import OperatorCall

CORES = 1
ATTEMPTS = 3  # a median below its floor is measured again: other programs come and go, a regression stays


@dataclasses.dataclass(frozen=True)
class Floor:
    """An operator, forward and backward, and the ratio to the plain formulation's time that it must reach."""

    workload: OperatorCall
    ratio: float


def _floor(
    ratio: float, operator: str, window: int, stride: int, size: int, in_features: int, out_features: int
) -> Floor:
    workload = OperatorCall(
        operator=operator, window=window, stride=stride, size=size, in_features=in_features, out_features=out_features,
        backward=True, batch=16,
    )  # fmt: skip
    return Floor(workload, ratio)


FLOORS = (
    _floor(5.0, "max_pool", 2, 2, 32, 32, 32),
    _floor(5.0, "max_pool", 3, 2, 32, 32, 32),
    _floor(3.0, "avg_pool", 3, 2, 32, 32, 32),
    _floor(1.2, "conv", 3, 2, 32, 16, 32),
    _floor(1.3, "conv", 1, 2, 16, 64, 128),
    _floor(1.2, "conv", 3, 1, 16, 64, 64),
    _floor(1.1, "conv", 7, 2, 32, 3, 64),
)


def check_floors(
    contenders: Mapping[str, RemoteContender], floors: Sequence[Floor] = FLOORS, *, rounds: int = 5
) -> Iterator[dict[str, Any]]:
    """Yield a row of `measure_ratios` for each floor, with ``floor``, ``passed`` and ``attempts``.

    A row passes if the median ratio reaches the floor in one of `ATTEMPTS` measurements; one that could not be measured, or
    whose values differ, does not pass and is not tried again.

    Args:
        contenders: "auto" and "lax", on `CORES`.
        floors: what to check.
        rounds: turns of each in a measurement.
    """
    for floor in floors:
        found: dict[str, Any] | None = {"median": 0.0}
        attempts = 0
        while found is not None and found["median"] < floor.ratio and attempts < ATTEMPTS:
            (row,) = measure_ratios(contenders, [floor.workload], rounds=rounds)
            found = row["ratios"].get("lax")
            attempts += 1
        passed = found is not None and found["median"] >= floor.ratio
        yield row | {"floor": floor.ratio, "passed": passed, "attempts": attempts}
