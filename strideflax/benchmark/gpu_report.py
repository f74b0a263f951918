"""The lines of `strideflax bench gpu`: what was measured, what it should be, and whether it is."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from strideflax.benchmark.peaks import peaks
from strideflax.wording import counted

EMPTY_SECONDS, KEPT_SECONDS = 12.0, 4.0
TORCH_MODES = ("torch_compile", "torch_graphs")
ACCURACY = 0.94


@dataclass(frozen=True)
class Line:
    """A measured quantity.

    Attributes:
        what: in words.
        measured: in words, with its unit.
        target: what it should be, in words; empty where it decides nothing.
        holds: whether it is so; None where nothing was measured or is decided.
    """

    what: str
    measured: str
    target: str = ""
    holds: bool | None = None


def report_lines(parts: Mapping[str, Mapping[str, Any]]) -> list[Line]:
    """Return the lines for the rows of each part, by the part's name; a part that is missing has none."""
    limits = peaks(parts.get("limits", {}).values(), "product", "gflops_per_second")
    writers: dict[str, Callable[[Mapping[str, Any]], Iterator[Line]]] = {
        "starts": _starts,
        "same_bits": _same_bits,
        "limits": _limits,
        "steps": partial(_steps, limits=limits),
        "sizes": _sizes,
        "dispatches": _dispatches,
        "shapes": _shapes,
        "recipe": _recipe,
    }
    lines: list[Line] = []
    for name, write in writers.items():
        if name in parts:
            lines += write(parts[name])
    return lines


def _starts(rows: Mapping[str, Any]) -> Iterator[Line]:
    for name, row in rows.items():
        empty, kept = row["empty_seconds"], row["kept_seconds"]
        yield Line(f"first step, {name}", f"{empty:.1f} s", f"under {EMPTY_SECONDS:g} s", empty < EMPTY_SECONDS)
        yield Line(
            f"first step, {name}, kept program", f"{kept:.1f} s", f"under {KEPT_SECONDS:g} s", kept < KEPT_SECONDS
        )


def _same_bits(rows: Mapping[str, Any]) -> Iterator[Line]:
    words = {True: "equal", False: "differ", None: "ended before it could be stopped"}
    for name, row in rows.items():
        yield Line(f"losses of two runs, {name}", words[row["pair_is_equal"]], "equal", row["pair_is_equal"])
        yield Line(f"losses of a resumed run, {name}", words[row["resumed_is_equal"]], "equal", row["resumed_is_equal"])
        chatter = row["lines_of_chatter"]
        yield Line(f"lines of chatter, {name}", str(chatter), "0", chatter == 0)


def _limits(rows: Mapping[str, Any]) -> Iterator[Line]:
    for dtype, peak in peaks(rows.values(), "product", "gflops_per_second").items():
        yield Line(f"matrix product, {dtype}", f"{peak / 1000:,.1f} TFLOP/s")
    for name, row in rows.items():
        speeds = [times["gigabytes_per_second"] for times in row["times"].values() if "gigabytes_per_second" in times]
        if speeds:
            yield Line(name, f"{max(speeds):,.0f} GB/s")


def _steps(rows: Mapping[str, Any], limits: Mapping[str, float]) -> Iterator[Line]:
    for name, row in rows.items():
        ours = row["times"].get("auto")
        if ours is None:
            yield Line(name, f"failed: {row.get('failed', {}).get('auto', 'no time')}", "", False)
            continue
        share = f", {ours['gflops_per_second'] / limits[row['dtype']]:.1%} of peak" if row["dtype"] in limits else ""
        ratios = [row["ratios"][mode]["median"] for mode in TORCH_MODES if mode in row["ratios"]]
        speed = f"{ours['images_per_second']:,.0f} images/s{share}"
        if not ratios:
            yield Line(name, f"{speed}; no ratio: {_why_not(row)}")
            continue
        both = all(row["deterministic"].get(who) for who in ("auto", *TORCH_MODES) if who in row["times"])
        alike = "both deterministic" if both else "PyTorch not deterministic"
        yield Line(name, f"{speed}; {min(ratios):.2f} x, {alike}", "1.00 x torch.compile", min(ratios) >= 1)


def _why_not(row: Mapping[str, Any]) -> str:
    reasons = [*row.get("failed", {}).values(), *row.get("differs", {}).values()]
    return str(reasons[0])[:120] if reasons else "no rival"


def _sizes(rows: Mapping[str, Any]) -> Iterator[Line]:
    for name, row in rows.items():
        measured = f"{row['kernels']:,} kernels, {row['bytes'] / 1e6:,.0f} MB, {row['branches']} branches"
        yield Line(f"one training step, {name}", measured, "0 branches", row["branches"] == 0)


def _dispatches(rows: Mapping[str, Any]) -> Iterator[Line]:
    names = {"auto": "same bits", "fast": "fast, other bits"}
    for name, row in rows.items():
        for who, times in row["times"].items():
            yield Line(f"{name}, {names[who]}", f"{times['images_per_second']:,.0f} images/s")


def _shapes(rows: Mapping[str, Any]) -> Iterator[Line]:
    """A ratio below 1 says that XLA's own is faster there: see `strideflax.kernels.implementation.LEFT_TO_XLA`."""
    for name, row in rows.items():
        if "lax" not in row["ratios"]:
            yield Line(name, f"no ratio: {_why_not(row)}")
            continue
        ratio = row["ratios"]["lax"]["median"]
        yield Line(
            name, f"{row['times']['auto']['median_ms']:.3f} ms, {ratio:.2f} x XLA's own", "0.95 x", ratio >= 0.95
        )


def _recipe(rows: Mapping[str, Any]) -> Iterator[Line]:
    for name, row in rows.items():
        reached, what = row["test_accuracy"], f"recipe on {row['images']}, {name}"
        measured = f"{reached:.2%}; {counted(row['epochs'], 'epoch')} in {row['train_seconds']:.1f} s"
        if row["images"] == "cifar10":
            yield Line(what, measured, f"{ACCURACY:.0%}", reached >= ACCURACY)
        else:
            yield Line(what, measured)
