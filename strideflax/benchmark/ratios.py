"""Speed of strideflax against its rivals, as ratios of times measured next to each other.

A workload is prepared by every contender; then each in its turn measures it for a moment, round after round. A ratio is a
rival's median time over strideflax's in the same round, so above 1 strideflax is faster. Its spread over the rounds shows how
far the machine can be trusted. Ratios are only given where both computed the same: parameters, multiply-adds, logits from the
same weights, losses of the same steps, or an operator's results.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from strideflax.benchmark.contenders import CONTENDERS, REFERENCE
from strideflax.benchmark.remote import ContenderError, RemoteContender
from strideflax.benchmark.workloads import OperatorCall, Step, Workload, to_job

PROTOCOL = (
    "separate processes taking turns, at least 5 calls and 0.2 s per turn (training steps 1.5 s), the first call of a turn not "
    "counted; ratio: a rival's median time over strideflax's in the same round; median, lowest and highest over rounds; random "
    "pixels, no augmentation, the same initial weights"
)
STEP_FLOPS_PER_MAC = 6  # a multiplication and an addition, forward and in both gradients; the usual count
# Of logits (beside the largest, at least 1) and results; of summed losses. bfloat16 keeps 8 bits, and the order of rounding
# differs, so there a check finds another network and not another rounding. TF32 keeps 11.
TOLERANCES = {"float32": (2e-5, 2e-4), "tf32": (1e-2, 3e-3), "bfloat16": (6e-2, 3e-2)}


def introduce(contenders: Mapping[str, RemoteContender]) -> dict[str, dict[str, Any]]:
    """Return each contender's description, device and versions, or the one line that says why it is ``left_out``."""
    about = {}
    for name, contender in contenders.items():
        entry: dict[str, Any] = {"description": CONTENDERS[name].description}
        try:
            entry |= contender.ask(do="describe")
        except ContenderError as error:
            entry["left_out"] = str(error)
        about[name] = entry
    return about


def measure_ratios(
    contenders: Mapping[str, RemoteContender], workloads: Iterable[Workload], *, rounds: int
) -> Iterator[dict[str, Any]]:
    """Measure each workload by all ``contenders``, the first of which is strideflax; yield a row as soon as it is known.

    Each row holds ``name``, ``workload``, ``times`` per contender, ``ratios`` per rival, whether each is ``deterministic``, and
    for whom there is no ratio: ``failed`` or ``differs``, with the reason.
    """
    with tempfile.TemporaryDirectory() as folder:
        for number, workload in enumerate(workloads):
            yield _row(contenders, workload, rounds, Path(folder) / f"{number}.npz")


def _row(contenders: Mapping[str, RemoteContender], workload: Workload, rounds: int, weights: Path) -> dict[str, Any]:
    return measured_row(contenders, workload, rounds, *prepare_all(contenders, workload, weights))


def measured_row(
    contenders: Mapping[str, RemoteContender],
    workload: Workload,
    rounds: int,
    ready: Mapping[str, dict[str, Any]],
    failed: dict[str, str],
    seconds: float | None = None,
) -> dict[str, Any]:
    """Let those that are ``ready`` take turns; return the row. ``ready`` and ``failed`` are `prepare_all`'s.

    A turn takes ``seconds``, by default those of `turn_seconds`.
    """
    seconds = turn_seconds(workload) if seconds is None else seconds
    differs = {}
    if REFERENCE in ready:
        for name, answer in ready.items():
            difference = differences(ready[REFERENCE]["facts"], answer["facts"], workload)
            if difference:
                differs[name] = difference
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in ready if name not in differs}
    for _ in range(rounds):
        for name, answers in turns.items():
            if name in failed:
                continue
            try:
                answers.append(contenders[name].ask(do="measure", calls=5, seconds=seconds))
            except ContenderError as error:
                failed[name] = str(error)
    times, ratios = {}, {}
    for name, answers in turns.items():
        if name not in failed:
            times[name] = _times(answers, ready[name], workload)
    for name, measured in times.items():
        if name != REFERENCE and REFERENCE in times:
            ratios[name] = ratio(measured["medians_ms"], times[REFERENCE]["medians_ms"])
    deterministic = {name: ready[name]["facts"].get("deterministic") for name in times}
    row = {
        "name": workload.name, "workload": to_job(workload), "dtype": workload.dtype, "rounds": rounds,
        "times": times, "ratios": ratios, "deterministic": deterministic,
    }  # fmt: skip
    if failed:
        row["failed"] = failed
    if differs:
        row["differs"] = differs
    return row


def prepare_all(
    contenders: Mapping[str, RemoteContender], workload: Workload, weights: Path
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Let every contender prepare ``workload``; return the answers, and why the others failed."""
    ready, failed = {}, {}
    for name, contender in contenders.items():
        try:
            ready[name] = contender.ask(do="prepare", workload=to_job(workload), weights=str(weights))
        except ContenderError as error:
            failed[name] = str(error)
    return ready, failed


def turn_seconds(workload: Workload) -> float:
    """Return how long a contender measures ``workload`` before the next takes its turn."""
    return 1.5 if isinstance(workload, Step) else 0.2


def ratio(rival: Sequence[float], ours: Sequence[float]) -> dict[str, Any]:
    """Return the ``median``, ``lowest`` and ``highest`` of the rounds' ratios, and these in their order."""
    rounds = [theirs / mine for theirs, mine in zip(rival, ours, strict=True)]
    return {"median": float(np.median(rounds)), "lowest": min(rounds), "highest": max(rounds), "rounds": rounds}


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], workload: Workload) -> str:
    """Return in one line how the facts of two contenders differ by more than rounding; empty if they agree."""
    tolerance, loss_tolerance = TOLERANCES[ours.get("arithmetic", workload.dtype)]
    found = []
    for fact in ("arithmetic", "params", "macs"):
        if ours.get(fact) != theirs.get(fact):
            found.append(f"{fact} {theirs.get(fact)} instead of {ours.get(fact)}")
    if "logits" in ours:
        expected, got = np.array(ours["logits"]), np.array(theirs["logits"])
        off = np.abs(got - expected).max() / max(1.0, np.abs(expected).max())
        if not off <= tolerance:
            found.append(f"logits off by {off:.1e}")
        off = abs(theirs["loss_sum"] / ours["loss_sum"] - 1)
        if not off <= loss_tolerance:
            found.append(f"summed losses {theirs['loss_sum']} instead of {ours['loss_sum']}")
    elif (
        isinstance(workload, OperatorCall) and workload.dtype == "bfloat16"
    ):  # where maxima tie, gradients go other ways
        found += _results(ours["results"][:1], theirs["results"][:1], tolerance)
    else:
        found += _results(ours["results"], theirs["results"], tolerance)
    return "; ".join(found)


def _results(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]], tolerance: float) -> list[str]:
    found = [] if len(ours) == len(theirs) else [f"{len(theirs)} results instead of {len(ours)}"]
    for index, (expected, got) in enumerate(zip(ours, theirs, strict=False)):
        off = np.abs(np.subtract(got, expected)).max() / max(expected[1], 1e-30)
        if not off <= tolerance:
            found.append(f"result {index} off by {off:.1e}")
    return found


def _times(turns: Sequence[Mapping[str, Any]], ready: Mapping[str, Any], workload: Workload) -> dict[str, Any]:
    medians = [turn["median_ms"] for turn in turns]
    middle = float(np.median(medians))
    found: dict[str, Any] = {
        "median_ms": middle,
        "medians_ms": medians,
        "quartiles_ms": [[turn["low_quartile_ms"], turn["high_quartile_ms"]] for turn in turns],
        "calls": [turn["calls"] for turn in turns],
        "compile_seconds": ready["compile_seconds"],
    }
    if isinstance(workload, Step):
        found["images_per_second"] = workload.images_per_call / middle * 1000
        if (macs := ready["facts"].get("macs")) is not None:
            found["gflops_per_second"] = STEP_FLOPS_PER_MAC * macs * workload.images_per_call / middle / 1e6
    for amount, unit in (("flops", "gflops_per_second"), ("bytes", "gigabytes_per_second")):
        if per_call := getattr(workload, amount, None):
            found[unit] = per_call / middle / 1e6
    return found
