"""The most that a device was seen to do, and which share of it a workload reaches."""

from collections.abc import Iterable, Mapping
from typing import Any


def peaks(rows: Iterable[Mapping[str, Any]], kind: str, unit: str) -> dict[str, float]:
    """Return the most ``unit`` that any contender reached in workloads of that ``kind``, by type; none where nothing was."""
    found: dict[str, float] = {}
    for row in rows:
        if row["workload"]["kind"] == kind:
            for times in row["times"].values():
                found[row["dtype"]] = max(found.get(row["dtype"], 0.0), times[unit])
    return found


def shares_of_peak(times: Mapping[str, Mapping[str, Any]], peak: float | None) -> dict[str, float]:
    """Return the share of ``peak``, in GFLOP/s, that each contender reached in a workload of such arithmetic."""
    shares = {}
    for name, measured in times.items():
        if peak and "gflops_per_second" in measured:
            shares[name] = measured["gflops_per_second"] / peak
    return shares
