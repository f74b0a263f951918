"""What an ablation says, in words and tables: the same for the page and for Markdown."""

from dataclasses import dataclass

import pandas as pd

from strideflax.analysis.ablation import OPERATOR, Ablation, Condition
from strideflax.analysis.fields import short
from strideflax.analysis.intervals import least_sign_flip_p
from strideflax.analysis.run_table import FINISHED
from strideflax.report.class_table import class_table
from strideflax.report.reproduction import regenerate
from strideflax.report.tables import Table, accuracy_table, cost_table, failed_table, interaction_table, percent, points
from strideflax.wording import counted, written

SIGNIFICANCE = 0.05  # a headline says "beats" only if the p-value after Holm's correction is below
ENOUGH_PAIRS = 5  # a bootstrap interval of fewer holds the true difference too rarely


@dataclass(frozen=True)
class Answer:
    """What holds under one setting in a sentence, and what it rests on."""

    verdict: str
    evidence: str


@dataclass(frozen=True)
class Findings:
    """A report's words: the question, what was run, answers, tables, and what a reader needs to trust them.

    ``tables`` are the two main ones, accuracy and cost; ``further_tables`` stand behind the figures.
    """

    question: str
    basis: str
    answers: list[Answer]
    tables: list[Table]
    further_tables: list[Table]
    left_out: list[str]
    notes: list[str]
    provenance: list[tuple[str, str]]
    commands: str


def find(ablation: Ablation, source: str, left_out: list[str]) -> Findings:
    """Put an ablation into words; ``source`` is what the report was made from, ``left_out`` the figures it lacks."""
    finished = ablation.runs[ablation.runs["status"] == FINISHED]
    return Findings(
        question="Downsample by stride or by pooling, and what does each cost?",
        basis=_basis(finished),
        answers=[_answer(condition, ablation) for condition in ablation.conditions()],
        tables=[accuracy_table(ablation), cost_table(ablation)],
        further_tables=_further_tables(ablation),
        left_out=left_out,
        notes=_notes(ablation, finished),
        provenance=_provenance(finished),
        commands=regenerate(ablation, source),
    )


def _further_tables(ablation: Ablation) -> list[Table]:
    tables = (interaction_table(ablation), class_table(ablation), failed_table(ablation))
    return [table for table in tables if table.rows]


def _basis(finished: pd.DataFrame) -> str:
    runs = counted(len(finished), "finished run")
    seeds = counted(finished["seed"].nunique(), "seed")
    return f"{runs}, {seeds}, on {_values(finished, 'dataset_name')}; device: {_values(finished, 'device')}."


def _answer(condition: Condition, ablation: Ablation) -> Answer:
    """Answer for one setting: is the chosen operator shown to beat the baseline, by how much, and at what cost?"""
    baseline = ablation.baseline
    prefix = f"With {condition.name}: " if condition.name else ""
    rows = condition.rows.set_index(OPERATOR)
    known = rows["mean"].dropna()
    if baseline not in known:
        verdict = f"{prefix}no run of {baseline} finished, so there is nothing to compare with."
        if not len(known):
            return Answer(verdict, "No run finished.")
        best = rows.loc[known.idxmax()]
        return Answer(verdict, f"{best.name} {ablation.score.best_words}, {_mean(best)}.")
    reference = f"{baseline}: {_mean(rows.loc[baseline])}."
    compared = rows[rows["difference"].notna()]
    if not len(compared):
        return Answer(f"{prefix}there is no pair of runs to compare {baseline} with.", reference)
    if (compared["difference"] <= 0).all():
        best, choice = compared.loc[compared["difference"].idxmax()], "closest"
    elif ablation.ranked_by == ablation.score.validation:
        best, choice = compared.loc[compared["validation"].idxmax()], "best by validation"
    else:
        best, choice = compared.loc[compared["difference"].idxmax()], "best"
    cost = f" at {best['macs'] / rows.loc[baseline, 'macs']:.2f} times the MACs" if best["macs"] > 0 else ""
    gain = f"{points(best['difference'])} percentage points"
    evidence = f"{best.name}: {_mean(best)}. {reference} Gain: {_sureness(best)}."
    if choice == "closest":
        return Answer(f"{prefix}no operator beats {baseline}; the closest is {best.name}, {gain}{cost}.", evidence)
    if best["p_holm"] < SIGNIFICANCE and best["difference_low"] > 0:
        return Answer(f"{prefix}{best.name} beats {baseline}, {gain}{cost}.", evidence)
    doubt = f"{counted(best['pairs'], 'pair')}, p = {best['p_holm']:.3g} after Holm"
    verdict = f"the {choice} is {best.name}; its gain over {baseline}, {gain}{cost}, is not significant ({doubt})."
    return Answer(prefix + verdict, evidence + _what_is_missing(int(best["pairs"]), len(compared)))


def _what_is_missing(pairs: int, comparisons: int) -> str:
    """Say how many pairs a gain in all of them would take, where those that were run can't show any."""
    if least_sign_flip_p(pairs) * comparisons < SIGNIFICANCE:
        return ""
    enough = pairs
    while least_sign_flip_p(enough) * comparisons >= SIGNIFICANCE:
        enough += 1
    tests = counted(comparisons, "comparison")
    return f" {counted(pairs, 'pair')} can't be significant in {tests}, however clear the gain is; {enough} can."


def _mean(row: pd.Series) -> str:
    interval = f", 95 % interval {percent(row['low'])} to {percent(row['high'])}" if row["n"] > 1 else ""
    return f"{percent(row['mean'])} % (n = {row['n']:.0f}{interval})"


def _sureness(row: pd.Series) -> str:
    pairs = counted(row["pairs"], "pair")
    if row["pairs"] < 2:
        return f"{pairs}, no interval"
    interval = f"95 % interval {points(row['difference_low'])} to {points(row['difference_high'])}"
    return f"{pairs}, {interval}, p = {row['p']:.3g}, {row['p_holm']:.3g} after Holm"


def _notes(ablation: Ablation, finished: pd.DataFrame) -> list[str]:
    pairs, score = ablation.table["pairs"].max(), ablation.score.words
    notes = [
        "Runs with the same seed saw the same images in the same order and started from the same shared weights, so "
        "operators are compared seed by seed.",
    ]
    if ablation.ranked_by == ablation.score.validation:
        notes.append(
            f"The best operator is chosen by its {score} on validation images, which no network trained on; what is "
            f"reported of it is its {score} on test images, which had no part in the choice."
        )
    else:
        notes.append(
            f"These runs have no validation {score}, so the best of {len(ablation.operators)} operators is picked by its "
            f"test {score}, which flatters it a little. Set data.val_count to choose by validation images."
        )
    notes.append(
        f'"Beats" stands only where p is below {SIGNIFICANCE} after Holm\'s correction for the number of operators.'
    )
    if pairs > 0:
        least = f"{least_sign_flip_p(int(pairs)):.3g}"
        notes.append(f"With {counted(pairs, 'pair')} the sign-flip p is never below {least}: read the intervals too.")
    if pairs < ENOUGH_PAIRS:
        notes.append(
            "Bootstrap intervals of fewer than five pairs are too narrow: those of three hold the truth 3 times in 4."
        )
    if finished["device"].nunique() > 1:
        notes.append(
            "The runs come from different devices: their speeds are averaged over those, so compare accuracies only."
        )
    if finished["dataset_fingerprint"].nunique() > 1:
        notes.append("Careful: the runs come from data with different fingerprints.")
    return notes


def _provenance(finished: pd.DataFrame) -> list[tuple[str, str]]:
    versions = []
    for name in finished:
        if name.startswith("versions.") and finished[name].notna().any():
            versions.append(f"{short(name)} {_values(finished, name)}")
    lines = [
        ("data", _values(finished, "dataset_name")),
        ("source", _values(finished, "dataset_source")),
        ("data fingerprint", _values(finished, "dataset_fingerprint")),
        ("test images", _values(finished, "dataset_test_count")),
        ("device", _values(finished, "device")),
        ("device of the latencies", _values(finished, "cost.device")),
        ("versions", ", ".join(versions)),
    ]
    return [(name, value) for name, value in lines if value]


def _values(frame: pd.DataFrame, column: str) -> str:
    """Return the different values of a column in words."""
    if column not in frame:
        return ""
    return " / ".join(written(value) for value in frame[column].dropna().unique())
