"""A table of runs read as an ablation: what is compared, under which settings, with what result and at what cost."""

from dataclasses import dataclass

import pandas as pd

from strideflax.analysis.comparison import compare_paired, summarize
from strideflax.analysis.fields import changes_results, in_words
from strideflax.analysis.run_table import COSTS, FINISHED, is_missing
from strideflax.analysis.scores import ACCURACY, VALIDATION_COLUMNS, Score, score_of
from strideflax.config_values import NOT_SET
from strideflax.errors import UserError
from strideflax.wording import stands_for, written

BASELINE = "strided_conv"
OPERATOR = "operator"
LATENCY = "cost.inference_batch_1.median_ms"
BATCH_LATENCY = "cost.inference.median_ms"
CONSISTENCY = ACCURACY.consistency
BALANCED = "test_balanced_accuracy"
MEASURED = (*COSTS, BALANCED, LATENCY, BATCH_LATENCY)  # and the score's consistency


@dataclass(frozen=True)
class Condition:
    """One combination of the settings: its name, such as "crop 0", its rows of `Ablation.table` and its runs."""

    name: str
    rows: pd.DataFrame
    runs: pd.DataFrame


@dataclass(frozen=True)
class Ablation:
    """Runs read as a comparison of operators.

    Attributes:
        runs: one row per run, as `strideflax.results.load` gives them, and its ``operator``.
        baseline: the operator that the others are compared with.
        settings: columns that vary for the baseline as well; operators are compared within each of their combinations.
        score: what the runs are judged by.
        ranked_by: the column that orders the operators and chooses the best one: the score on validation images, so that the
            test images have no say in it, or on test images where runs have no validation images.
        table: one row per setting and operator, settings in order, then operators as in `operators`. It has the columns
            of `summarize` and `compare_paired` (the interval of the difference is ``difference_low`` and
            ``difference_high``), ``validation``, the mean validation score, and for each column of `MEASURED` its
            mean, and as ``COLUMN, sd`` and ``COLUMN, n`` its standard deviation and the number of runs that have it.
    """

    runs: pd.DataFrame
    baseline: str
    settings: tuple[str, ...]
    score: Score
    ranked_by: str
    table: pd.DataFrame

    @property
    def operators(self) -> list[str]:
        """The operators, the baseline first, then the most accurate over all settings first."""
        return _ranked(self.table, self.baseline, self.ranked_by)

    def conditions(self) -> list[Condition]:
        """Return the combinations of the settings; without settings there is one, and its name is empty."""
        known = self.runs[self.runs[OPERATOR].notna()]
        if not self.settings:
            return [Condition("", self.table, known)]
        by = list(self.settings)
        runs = dict(list(known.groupby(by, sort=False, dropna=False)))
        found = []
        for values, rows in self.table.groupby(by, sort=False, dropna=False):
            name = ", ".join(in_words(field, value) for field, value in zip(by, values, strict=True))
            found.append(Condition(name, rows, runs[values]))
        return found

    @property
    def failed(self) -> pd.DataFrame:
        """The runs without a result, with ``run``, ``status`` and ``error``."""
        failed = self.runs[self.runs["status"] != FINISHED]
        return failed.reindex(columns=["run", "status", "error"]).astype({"error": object})


def read_ablation(
    frame: pd.DataFrame,
    *,
    factor: str = "model.downsample",
    baseline: object = None,
    ranked_by: str | None = None,
) -> Ablation:
    """Find out what ``frame`` compares, and compare it.

    A config field that varies among the baseline's runs is a setting. One that varies only among the others' tells
    operators apart, and becomes part of their names ("blur_pool, window 5").

    Args:
        frame: runs, as from `strideflax.results.load`.
        factor: the column whose levels are compared.
        baseline: the level that the others are compared with, or a text that names it, such as ``"0.10"`` for 0.1;
            None takes "strided_conv", or the first level if no run has that.
        ranked_by: "val_accuracy" or "test_accuracy" (or "val_mean_iou" or "test_mean_iou"), see `Ablation`; None takes the
            first that all operators have.

    Raises:
        UserError: no run has finished, there is no such column or level, or runs can't be told apart.
    """
    if factor not in frame:
        several = ", ".join(_varying(frame, list(frame))) or "none"
        raise UserError(f"no run has the field {factor!r}; fields with several values: {several}")
    readable = frame[frame[factor].notna()]
    if not (readable["status"] == FINISHED).any():
        counts = ", ".join(f"{count} {status}" for status, count in frame["status"].value_counts().items())
        raise UserError(f"no run has finished yet ({counts}), so there is nothing to report")
    reference = _reference(_in_order(readable[factor].unique().tolist()), factor, baseline)
    of_reference = readable[[level == reference for level in readable[factor]]]  # a level may be a tuple
    fields = [name for name in _varying(readable, list(readable)) if name != factor]
    varying_for_reference = _varying(of_reference, fields)
    settings = _without_repetitions(readable, varying_for_reference)
    usual = {name: of_reference[name].iloc[0] for name in fields if name not in varying_for_reference}
    runs = frame.assign(**{OPERATOR: _operators(frame, factor, usual)})
    score = score_of(runs)
    table = _table(runs, written(reference), settings, score)
    if ranked_by is None:
        has_validation = table.loc[table["mean"].notna(), "validation"].notna().all()
        ranked_by = score.validation if has_validation else score.test
    table = _sorted(table, settings, _ranked(table, written(reference), ranked_by))
    return Ablation(runs, written(reference), settings, score, ranked_by, table)


def _in_order(levels: list[object]) -> list[object]:
    """Return levels in ascending order: numbers as numbers, anything mixed by its text."""
    try:
        return sorted(levels)  # type: ignore[type-var]
    except TypeError:
        return sorted(levels, key=str)


def _reference(levels: list[object], factor: str, baseline: object) -> object:
    """Return the level that is meant by ``baseline``."""
    if baseline is None:
        return BASELINE if BASELINE in levels else levels[0]
    for level in levels:
        if level == baseline or (isinstance(baseline, str) and _is_meant(baseline, factor, level)):
            return level
    raise UserError(f"no run has {factor} {baseline!r}; there are {', '.join(written(level) for level in levels)}")


def _is_meant(text: str, factor: str, level: object) -> bool:
    """Return whether a word of the command line means the level; "none" means one that is not set."""
    is_not_set = factor in NOT_SET and level == NOT_SET[factor]
    return stands_for(text, level) or (is_not_set and stands_for(text, None))


def _varying(frame: pd.DataFrame, columns: list[str]) -> list[str]:
    """Return the config fields among ``columns`` that differ between runs."""
    return [name for name in columns if changes_results(name) and frame[name].nunique() > 1]


def _without_repetitions(frame: pd.DataFrame, names: list[str]) -> tuple[str, ...]:
    """Return ``names`` without those that only repeat another one, value for value."""
    kept: list[str] = []
    for name in names:
        if not any(_repeats(frame, name, other) for other in kept):
            kept.append(name)
    return tuple(kept)


def _repeats(frame: pd.DataFrame, name: str, other: str) -> bool:
    """Return whether each value of one column stands beside one value of the other, and the other way round."""
    pairs = len(frame[[name, other]].drop_duplicates())
    return frame[name].nunique() == frame[other].nunique() == pairs


def _operators(frame: pd.DataFrame, factor: str, usual: dict[str, object]) -> list[str | None]:
    """Return each run's operator: its level, and the fields in which it differs from the baseline's ``usual`` values."""
    operators: list[str | None] = []
    for row in frame[[factor, *usual]].to_dict("records"):
        words = [written(row[factor])]
        for field, value in usual.items():
            if row[field] != value:
                words.append(in_words(field, row[field]))
        operators.append(None if is_missing(row[factor]) else ", ".join(words))
    return operators


def _table(runs: pd.DataFrame, baseline: str, settings: tuple[str, ...], score: Score) -> pd.DataFrame:
    """Return `Ablation.table` in no particular order."""
    known = runs[runs[OPERATOR].notna()]
    by = [*settings, OPERATOR]
    try:
        differences = compare_paired(known, baseline, OPERATOR, score.test, within=settings)
    except ValueError as error:
        raise UserError(
            f"these runs can't be compared: {error}; or put those that belong together into one folder"
        ) from None
    differences = differences.rename(columns={"low": "difference_low", "high": "difference_high"}).drop(columns="sd")
    measured = (*MEASURED, score.consistency)
    finished = known[known["status"] == FINISHED].reindex(columns=[*by, score.validation, *measured])
    groups = finished.astype(dict.fromkeys([score.validation, *measured], float)).groupby(by, sort=False, dropna=False)
    columns = {"validation": groups[score.validation].mean()}
    for name in measured:
        columns[name] = groups[name].mean()
        columns[f"{name}, sd"] = groups[name].std()
        columns[f"{name}, n"] = groups[name].count()
    means = pd.DataFrame(columns).reset_index()
    return summarize(known, by, score.test).merge(differences, how="left", on=by).merge(means, how="left", on=by)


def _sorted(table: pd.DataFrame, settings: tuple[str, ...], operators: list[str]) -> pd.DataFrame:
    """Return the table's rows in the order of the settings, then of ``operators``."""
    rank = {name: place for place, name in enumerate(operators)}

    def key(column: pd.Series) -> pd.Series:
        if column.name == OPERATOR:
            return column.map(rank)
        return column if pd.api.types.is_numeric_dtype(column) else column.map(str)

    return table.sort_values([*settings, OPERATOR], key=key, ignore_index=True)


def _ranked(table: pd.DataFrame, baseline: str, ranked_by: str) -> list[str]:
    column = "validation" if ranked_by in VALIDATION_COLUMNS else "mean"
    means = table.groupby(OPERATOR)[column].mean().sort_values(ascending=False)
    others = [name for name in means.index if name != baseline]
    return [baseline, *others]
