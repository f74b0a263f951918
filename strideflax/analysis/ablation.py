"""A table of runs read as an ablation: what is compared, under which settings, with what result and at what cost."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from strideflax.analysis.comparison import compare_paired, summarize
from strideflax.analysis.fields import changes_results, in_words
from strideflax.analysis.run_table import COSTS, FINISHED
from strideflax.errors import UserError

BASELINE = "strided_conv"
OPERATOR = "operator"
LATENCY = "cost.inference_batch_1.median_ms"
BATCH_LATENCY = "cost.inference.median_ms"
CONSISTENCY = "shift_consistency.reflect.consistency.4"
MEASURED = (*COSTS, LATENCY, BATCH_LATENCY, CONSISTENCY)


@dataclass(frozen=True)
class Ablation:
    """Runs read as a comparison of operators.

    Attributes:
        runs: one row a run, as `strideflax.results.load` gives them, and its ``operator``.
        baseline: the operator that the others are compared with.
        settings: columns that vary for the baseline as well; operators are compared within each of their combinations.
        table: one row a setting and operator, settings in order, then operators as in `operators`: `summarize`'s and
            `compare_paired`'s columns (the interval of the difference as ``difference_low`` and ``difference_high``) and the
            means of the columns `MEASURED`, NaN where no run has them.
    """

    runs: pd.DataFrame
    baseline: str
    settings: tuple[str, ...]
    table: pd.DataFrame

    @property
    def operators(self) -> list[str]:
        """The operators, the baseline first, then the most accurate over all settings first."""
        return _ranked(self.table, self.baseline)

    def cells(self) -> list[tuple[str, pd.DataFrame, pd.DataFrame]]:
        """Return for each setting its name, its rows of `table` and its runs."""
        known = self.runs[self.runs[OPERATOR].notna()]
        if not self.settings:
            return [("", self.table, known)]
        by = list(self.settings)
        runs = dict(list(known.groupby(by, sort=False, dropna=False)))
        return [
            (", ".join(in_words(name, value) for name, value in zip(by, cell, strict=True)), rows, runs[cell])
            for cell, rows in self.table.groupby(by, sort=False, dropna=False)
        ]

    @property
    def failed(self) -> pd.DataFrame:
        """The runs without a result, with ``run``, ``status`` and ``error``."""
        failed = self.runs[self.runs["status"] != FINISHED]
        return failed.reindex(columns=["run", "status", "error"]).astype({"error": object})


def read_ablation(frame: pd.DataFrame, *, factor: str = "model.downsample", baseline: str | None = None) -> Ablation:
    """Find out what ``frame`` compares, and compare it.

    A config field that varies among the baseline's runs is a setting. One that varies only among the others' tells
    operators apart, and becomes part of their names ("blur_pool, window 5").

    Args:
        frame: runs, as from `strideflax.results.load`.
        factor: the column whose levels are compared.
        baseline: the level that the others are compared with; None takes "strided_conv", or the first if there is none.

    Raises:
        UserError: no run has finished, there is no such column or level, or runs can't be told apart.
    """
    if factor not in frame:
        raise UserError(
            f"no run has the field {factor!r}; fields with several values: {', '.join(_varying(frame)) or 'none'}"
        )
    readable = frame[frame[factor].notna()]
    if not (readable["status"] == FINISHED).any():
        counts = ", ".join(f"{count} {status}" for status, count in frame["status"].value_counts().items())
        raise UserError(f"no run has finished yet ({counts}), so there is nothing to report")
    levels = sorted(readable[factor].unique(), key=str)
    reference = baseline or (BASELINE if BASELINE in levels else levels[0])
    if reference not in levels:
        raise UserError(f"no run has {factor} {reference!r}; there are {', '.join(map(str, levels))}")
    fields = [name for name in _varying(readable) if name != factor]
    settings = _distinct(readable, _varying(readable[readable[factor] == reference], fields))
    plain = {name: readable.loc[readable[factor] == reference, name].iloc[0] for name in fields}
    own = [name for name in fields if name not in _varying(readable[readable[factor] == reference], fields)]
    runs = frame.assign(**{OPERATOR: _operators(frame, factor, {name: plain[name] for name in own})})
    return Ablation(runs, str(reference), settings, _table(runs, str(reference), settings))


def _varying(frame: pd.DataFrame, among: Iterable[str] | None = None) -> list[str]:
    """Return the config fields that differ between runs."""
    names = frame.columns if among is None else among
    return [name for name in names if changes_results(name) and frame[name].nunique() > 1]


def _distinct(frame: pd.DataFrame, names: list[str]) -> tuple[str, ...]:
    """Return ``names`` without those that only repeat another one, value for value."""
    kept: list[str] = []
    for name in names:
        count = frame[name].nunique()
        if not any(frame[k].nunique() == count == len(frame[[k, name]].drop_duplicates()) for k in kept):
            kept.append(name)
    return tuple(kept)


def _operators(frame: pd.DataFrame, factor: str, plain: dict[str, object]) -> list[str | None]:
    """Return each run's operator: its level, and those of the fields in ``plain`` that have another value."""
    names: list[str | None] = []
    for row in frame[[factor, *plain]].to_dict("records"):
        details = [in_words(field, row[field]) for field, value in plain.items() if row[field] != value]
        names.append(None if pd.isna(row[factor]) else ", ".join([str(row[factor]), *details]))
    return names


def _table(runs: pd.DataFrame, baseline: str, settings: tuple[str, ...]) -> pd.DataFrame:
    known = runs[runs[OPERATOR].notna()]
    by = [*settings, OPERATOR]
    try:
        differences = compare_paired(known, baseline, OPERATOR, within=settings)
    except ValueError as error:
        raise UserError(f"these runs can't be compared: {error}") from None
    differences = differences.rename(columns={"low": "difference_low", "high": "difference_high"}).drop(columns="sd")
    finished = known[known["status"] == FINISHED].reindex(columns=[*by, *MEASURED])
    costs = finished.groupby(by, sort=False, dropna=False)[list(MEASURED)].mean().reset_index()
    table = summarize(known, by).merge(differences, how="left", on=by).merge(costs, how="left", on=by)
    order = {name: rank for rank, name in enumerate(_ranked(table, baseline))}

    def key(column: pd.Series) -> pd.Series:
        if column.name == OPERATOR:
            return column.map(order)
        return column if pd.api.types.is_numeric_dtype(column) else column.map(str)

    return table.sort_values(by, key=key, ignore_index=True)


def _ranked(table: pd.DataFrame, baseline: str) -> list[str]:
    means = table.groupby(OPERATOR)["mean"].mean().sort_values(ascending=False)
    return sorted(means.index, key=lambda name: name != baseline)
