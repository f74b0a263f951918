"""An ablation's tables in words, the same for the page and for Markdown."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from strideflax.analysis.ablation import BALANCED, BATCH_LATENCY, LATENCY, OPERATOR, Ablation
from strideflax.analysis.comparison import interaction
from strideflax.analysis.fields import in_words, short
from strideflax.analysis.run_table import is_missing
from strideflax.wording import capitalized, written

CLASS_IMAGES, CLASS_CORRECT = "test_by_class.images", "test_by_class.correct"
INTERVAL_NOTE = "In brackets 95 % intervals: Student's t, cut at 0 and 100, for a mean"
LATENCY_NOTE = "Latency: median time of inference, as the command evaluate measures it"
BALANCED_NOTE = (
    "Balanced: the mean over the classes of each one's accuracy, as the classes differ in their numbers of images"
)
SPREAD_NOTE = "Times are means over the row's runs, or over n where not all have one; ±: their standard deviation"


@dataclass(frozen=True)
class Cell:
    """What a table shows.

    Attributes:
        text: the words for the value.
        value: the number or text that rows are sorted by; None sorts last.
        detail: how sure the value is, such as its interval; it stands behind the text, or below it on a narrow screen.
    """

    text: str
    value: float | str | None
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """A table in words. ``titles`` ``[columns]``, ``rows`` ``[rows][columns]``."""

    title: str
    note: str
    titles: list[str]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Column:
    """A column of a report's table.

    Attributes:
        title: what stands above it.
        field: the column of `Ablation.table` that it shows.
        text: the words for a value.
        interval: the columns of an interval that stands in brackets behind the value.
        has_spread: whether its standard deviation follows, and the number of runs where not all of the row have it.
        note: what a reader has to know, to stand below the table.
    """

    title: str
    field: str
    text: Callable[[Any], str]
    interval: tuple[str, str] | None = None
    has_spread: bool = False
    note: str = ""

    def cell(self, row: dict[Any, Any]) -> Cell:
        """Return the cell for one row of `Ablation.table`."""
        value = row[self.field]
        if is_missing(value):
            return Cell("", None)
        detail = self._spread(row) if self.has_spread else self._interval(row)
        return Cell(self.text(value), float(value) if isinstance(value, (int, float)) else str(value), detail)

    def _interval(self, row: dict[Any, Any]) -> str:
        if self.interval is None or is_missing(row[self.interval[0]]):
            return ""
        low, high = self.interval
        return f"({self.text(row[low])} to {self.text(row[high])})"

    def _spread(self, row: dict[Any, Any]) -> str:
        deviation, runs = row[f"{self.field}, sd"], row[f"{self.field}, n"]
        words = [] if is_missing(deviation) else [f"± {self.text(deviation)}"]
        if runs != row["n"]:
            words.append(f"n = {runs:.0f}")
        return ", ".join(words)


def accuracy_table(ablation: Ablation) -> Table:
    """Return what was reached, and how sure it is: one row per setting and operator."""
    score = ablation.score
    shifts = f"Shift consistency: {score.consistency_words}; ± is its standard deviation over the runs"
    gain = f"gain over {ablation.baseline}, points"
    columns = [
        Column(f"validation {score.words}, %", "validation", percent),
        Column(f"test {score.words}, %", "mean", percent, interval=("low", "high"), note=INTERVAL_NOTE),
        Column(gain, "difference", points, ("difference_low", "difference_high"), note="Paired bootstrap for a gain"),
        Column("p", "p", "{:.3g}".format, note="p: exact sign-flip test"),
        Column("p after Holm", "p_holm", "{:.3g}".format, note="After Holm: corrected for the number of operators"),
        Column("pairs", "pairs", "{:.0f}".format),
        Column("wins, % of pairs", "probability_of_improvement", "{:.0%}".format),
        Column("shift consistency, %", score.consistency, percent, has_spread=True, note=shifts),
        Column("runs", "n", str),
        Column("without a result", "missing", str),
    ]
    if has_unequal_classes(ablation):
        columns.insert(2, Column("balanced test accuracy, %", BALANCED, percent, has_spread=True, note=BALANCED_NOTE))
    return _table(capitalized(score.words), ablation, columns)


def has_unequal_classes(ablation: Ablation) -> bool:
    """Return whether the classes of a run's test set differ in their numbers of images."""
    if CLASS_IMAGES not in ablation.runs:
        return False
    return any(len(set(images)) > 1 for images in ablation.runs[CLASS_IMAGES].dropna())


def cost_table(ablation: Ablation) -> Table:
    """Return what it takes: one row per setting and operator."""
    columns = [
        Column("runs", "n", str),
        Column("million MACs", "macs", millions, note="MACs: multiply-accumulates of one image's forward pass"),
        Column("parameters", "params", "{:,.0f}".format),
        Column("latency of an image, ms", LATENCY, "{:.2f}".format, has_spread=True, note=LATENCY_NOTE),
        Column("latency of a batch, ms", BATCH_LATENCY, "{:.2f}".format, has_spread=True),
        Column("training images/s", "images_per_second", "{:,.0f}".format, has_spread=True, note=SPREAD_NOTE),
    ]
    return _table("Cost", ablation, columns)


def _table(title: str, ablation: Ablation, columns: list[Column]) -> Table:
    """Return a table with the operator and the settings in front; a column without any number is left out."""
    leading = [Column("operator", OPERATOR, str)]
    for name in ablation.settings:
        leading.append(Column(short(name), name, written))
    shown = [*leading, *(column for column in columns if ablation.table[column.field].notna().any())]
    rows = []
    for row in ablation.table.to_dict("records"):
        rows.append([column.cell(row) for column in shown])
    notes = [f"{column.note}." for column in shown if column.note]
    return Table(title, " ".join(notes), [column.title for column in shown], rows)


def interaction_table(ablation: Ablation) -> Table:
    """Return how a setting with two values changes each operator's gain; no rows if it is not the only setting."""
    levels = list(ablation.table[ablation.settings[0]].unique()) if len(ablation.settings) == 1 else []
    if len(levels) != 2:
        return Table("", "", [], [])
    setting = ablation.settings[0]
    first, second = (in_words(setting, level) for level in levels)
    gain = f"gain with {first} minus with {second}, points"
    column = Column(gain, "difference", points, interval=("low", "high"))
    rows = []
    for name in ablation.operators[1:]:
        try:
            found = interaction(
                ablation.runs,
                name,
                condition=setting,
                levels=(levels[0], levels[1]),
                baseline=ablation.baseline,
                factor=OPERATOR,
                value=ablation.score.test,
            )
        except ValueError:  # it was run under one of the two only
            continue
        if found.pairs:
            pairs = Cell(str(found.pairs), found.pairs)
            rows.append([Cell(name, name), column.cell(vars(found)), pairs, Cell(f"{found.p:.3g}", found.p)])
    note = f"(operator - {ablation.baseline}) with {first}, minus the same with {second}, for each seed."
    return Table(f"How much of the gain depends on {short(setting)}", note, ["operator", gain, "seeds", "p"], rows)


def failed_table(ablation: Ablation) -> Table:
    """Return the runs that are in no average, and why."""
    rows = []
    for row in ablation.failed.fillna({"error": ""}).to_dict("records"):
        rows.append([Cell(str(row[name]), str(row[name])) for name in ("run", "status", "error")])
    return Table("Runs without a result", "They are in no average.", ["run", "status", "error"], rows)


def millions(count: float) -> str:
    """Return a count in millions, one decimal."""
    return f"{count / 1e6:,.1f}"


def percent(share: float) -> str:
    """Return a share in percent, two decimals."""
    return f"{100 * share:.2f}"


def points(share: float) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    return f"{100 * share:+.2f}".replace("-", "\N{MINUS SIGN}")
