"""An ablation's tables in words, the same for the page and for Markdown."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from strideflax.analysis.ablation import BATCH_LATENCY, CONSISTENCY, LATENCY, OPERATOR, Ablation
from strideflax.analysis.comparison import interaction
from strideflax.analysis.fields import in_words, short, value_text
from strideflax.analysis.run_table import is_missing

INTERVALS = {"mean": ("low", "high"), "difference": ("difference_low", "difference_high")}


@dataclass(frozen=True)
class Cell:
    """What a table shows, and the number or text that it is sorted by; None sorts last."""

    text: str
    value: float | str | None


@dataclass(frozen=True)
class Table:
    """A table in words. ``titles`` ``[columns]``, ``rows`` ``[rows][columns]``."""

    title: str
    note: str
    titles: list[str]
    rows: list[list[Cell]]


Column = tuple[str, str, Callable[[Any], str]]  # title, column of Ablation.table, value -> text


def results_table(ablation: Ablation) -> Table:
    """Return the main table, one row a setting and operator; a column without any number is left out."""
    columns = [column for column in _columns(ablation) if ablation.table[column[1]].notna().any()]
    note = (
        "In brackets 95 % intervals: Student's t for a mean, the paired bootstrap for a gain. p: exact sign-flip test. "
        "MACs: multiply-accumulates of one image's forward pass. Latency: of inference, at batch 1 and at the training "
        "batch. Shift consistency: share of pairs of shifts by up to 4 pixels (border reflected) with the same class."
    )
    rows = [[_cell(row, name, text) for _, name, text in columns] for row in ablation.table.to_dict("records")]
    return Table("Results", note, [title for title, _, _ in columns], rows)


def _columns(ablation: Ablation) -> list[Column]:
    settings: list[Column] = [(short(name), name, value_text) for name in ablation.settings]
    return [
        ("operator", OPERATOR, str),
        *settings,
        ("test accuracy, %", "mean", percent),
        (f"gain over {ablation.baseline}, points", "difference", points),
        ("million MACs", "macs", lambda v: f"{v / 1e6:,.1f}"),
        ("latency of an image, ms", LATENCY, "{:.3g}".format),
        ("latency of a batch, ms", BATCH_LATENCY, "{:.3g}".format),
        ("shift consistency, %", CONSISTENCY, percent),
        ("runs", "n", str),
        ("without a result", "missing", str),
        ("pairs", "pairs", "{:.0f}".format),
        ("p", "p", "{:.3g}".format),
        ("p after Holm", "p_holm", "{:.3g}".format),
        ("wins, % of pairs", "probability_of_improvement", lambda v: f"{100 * v:.0f}"),
        ("parameters", "params", "{:,.0f}".format),
        ("training images/s", "images_per_second", "{:,.0f}".format),
    ]


def _cell(row: dict[Any, Any], name: str, text: Callable[[Any], str]) -> Cell:
    """Return a cell, with its interval in brackets where there is one."""
    value = row[name]
    if is_missing(value):
        return Cell("", None)
    low, high = INTERVALS.get(name, (None, None))
    known = low is not None and not is_missing(row[low])
    interval = f" ({text(row[low])} to {text(row[high])})" if known else ""
    return Cell(text(value) + interval, float(value) if isinstance(value, (int, float)) else str(value))


def interaction_table(ablation: Ablation) -> Table:
    """Return how a setting with two values changes each operator's gain; no rows if it is not the only setting."""
    levels = list(ablation.table[ablation.settings[0]].unique()) if len(ablation.settings) == 1 else []
    if len(levels) != 2:
        return Table("", "", [], [])
    setting = ablation.settings[0]
    first, second = (in_words(setting, level) for level in levels)
    rows = []
    for name in [name for name in ablation.operators if name != ablation.baseline]:
        try:
            found = interaction(
                ablation.runs,
                name,
                condition=setting,
                levels=(levels[0], levels[1]),
                baseline=ablation.baseline,
                factor=OPERATOR,
            )
        except ValueError:  # it was run under one of the two only
            continue
        if found.pairs:
            named = {"difference": found.difference, "difference_low": found.low, "difference_high": found.high}
            numbers = (_cell(named, "difference", points), Cell(str(found.pairs), found.pairs))
            rows.append([Cell(name, name), *numbers, Cell(f"{found.p:.3g}", found.p)])
    note = f"(operator - {ablation.baseline}) with {first}, minus the same with {second}, for each seed."
    titles = ["operator", f"gain with {first} minus with {second}, points", "seeds", "p"]
    return Table(f"How much of the gain depends on {short(setting)}", note, titles, rows)


def failed_table(ablation: Ablation) -> Table:
    """Return the runs that are in no average, and why."""
    rows = [
        [Cell(str(value), str(value)) for value in (row["run"], row["status"], row["error"])]
        for row in ablation.failed.fillna({"error": ""}).to_dict("records")
    ]
    return Table("Runs without a result", "They are in no average.", ["run", "status", "error"], rows)


def percent(share: float) -> str:
    """Return a share in percent, two decimals."""
    return f"{100 * share:.2f}"


def points(share: float) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    return f"{100 * share:+.2f}".replace("-", "\N{MINUS SIGN}")
