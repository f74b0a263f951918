"""What an ablation says, in words and tables: the same for the page and for Markdown."""

from dataclasses import dataclass

import pandas as pd

from strideflax.analysis.ablation import OPERATOR, Ablation
from strideflax.analysis.fields import short
from strideflax.analysis.run_table import FINISHED
from strideflax.report.reproduction import regenerate
from strideflax.report.tables import Table, failed_table, interaction_table, percent, points, results_table

ENOUGH_PAIRS = 5  # below, an interval holds the true difference too rarely to claim one


@dataclass(frozen=True)
class Answer:
    """What holds under one setting in a sentence, and what it rests on."""

    verdict: str
    evidence: str


@dataclass(frozen=True)
class Findings:
    """A report's words: the question, what was run, answers, tables, and what a reader needs to trust them."""

    question: str
    basis: str
    answers: list[Answer]
    tables: list[Table]
    left_out: list[str]
    notes: list[str]
    provenance: list[tuple[str, str]]
    commands: str


def find(ablation: Ablation, source: str, left_out: list[str]) -> Findings:
    """Put an ablation into words; ``source`` is what the report was made from, ``left_out`` the figures it lacks."""
    finished = ablation.runs[ablation.runs["status"] == FINISHED]
    tables = [results_table(ablation), interaction_table(ablation), failed_table(ablation)]
    return Findings(
        question="Downsample by stride or by pooling, and what does each cost?",
        basis=_basis(finished),
        answers=[_answer(label, rows, ablation.baseline) for label, rows, _ in ablation.cells()],
        tables=[table for table in tables if table.rows],
        left_out=left_out,
        notes=_notes(ablation, finished),
        provenance=_provenance(finished),
        commands=regenerate(ablation, source),
    )


def _basis(finished: pd.DataFrame) -> str:
    seeds = finished["seed"].nunique()
    plural = "s" if seeds > 1 else ""
    return (
        f"{len(finished)} finished runs, {seeds} seed{plural}, on {_values(finished, 'dataset_name')}; "
        f"device: {_values(finished, 'device')}."
    )


def _answer(label: str, rows: pd.DataFrame, baseline: str) -> Answer:
    """Answer for one setting: does the best operator beat the baseline, by how much, how sure, at what cost?"""
    prefix, rows = f"With {label}: " if label else "", rows.set_index(OPERATOR)
    known = rows["mean"].dropna()
    if baseline not in known:
        best = (
            f"{known.idxmax()} is the most accurate, {_mean(rows.loc[known.idxmax()])}"
            if len(known)
            else "no run finished"
        )
        return Answer(f"{prefix}no run of {baseline} finished, so there is nothing to compare with.", f"{best}.")
    reference = f"{baseline}: {_mean(rows.loc[baseline])}."
    if rows["difference"].isna().all():
        return Answer(f"{prefix}there is no pair of runs to compare {baseline} with.", reference)
    best = rows.loc[rows["difference"].idxmax()]
    cost = f" at {best['macs'] / rows.loc[baseline, 'macs']:.2f} times its MACs" if best["macs"] > 0 else ""
    gain = f"{points(best['difference'])} percentage points{cost}"
    evidence = f"{best.name}: {_mean(best)}. {reference} Gain: {_sureness(best)}."
    if best["difference"] <= 0:
        return Answer(f"{prefix}no operator beats {baseline}; the closest is {best.name}, {gain}.", evidence)
    if not best["difference_low"] > 0:
        return Answer(
            f"{prefix}no operator is clearly better than {baseline}; the best is {best.name}, {gain}.", evidence
        )
    if best["pairs"] < ENOUGH_PAIRS:
        return Answer(
            f"{prefix}{best.name} is ahead of {baseline}, {gain}.",
            f"{evidence} Fewer than five pairs are too few to be sure.",
        )
    return Answer(f"{prefix}{best.name} beats {baseline}, {gain}.", evidence)


def _mean(row: pd.Series) -> str:
    interval = f", 95 % interval {percent(row['low'])} to {percent(row['high'])}" if row["n"] > 1 else ""
    return f"{percent(row['mean'])} % (n = {row['n']:.0f}{interval})"


def _sureness(row: pd.Series) -> str:
    pairs = f"{row['pairs']:.0f} pair{'s' if row['pairs'] > 1 else ''}"
    if row["pairs"] < 2:
        return f"{pairs}, no interval"
    interval = f"95 % interval {points(row['difference_low'])} to {points(row['difference_high'])}"
    return f"{pairs}, {interval}, p = {row['p']:.3g}, {row['p_holm']:.3g} after Holm"


def _notes(ablation: Ablation, finished: pd.DataFrame) -> list[str]:
    operators, pairs = len(ablation.operators), ablation.table["pairs"].max()
    notes = [
        "Runs with the same seed saw the same images in the same order and started from the same shared weights, so "
        "operators are compared seed by seed.",
        f"The best of {operators} operators is picked by its result, which flatters it a little; Holm's correction "
        "accounts for the choice, single intervals do not.",
    ]
    if pairs > 0:
        notes.append(
            f"With {pairs:.0f} pairs the sign-flip p is never below {min(1, 2 / 2**pairs):.3g}: read the intervals too."
        )
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
    versions = [name for name in finished if name.startswith("versions.") and finished[name].notna().any()]
    lines = [
        ("data", _values(finished, "dataset_name")),
        ("source", _values(finished, "dataset_source")),
        ("data fingerprint", _values(finished, "dataset_fingerprint")),
        ("test images", _values(finished, "dataset_test_count")),
        ("device", _values(finished, "device")),
        ("device of the latencies", _values(finished, "cost.device")),
        ("versions", ", ".join(f"{short(name)} {_values(finished, name)}" for name in versions)),
    ]
    return [(name, value) for name, value in lines if value]


def _values(frame: pd.DataFrame, column: str) -> str:
    """Return the different values of a column in words."""
    if column not in frame:
        return ""
    return " / ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in frame[column].dropna().unique())
