"""The README's headline from the runs that come with the library: ``python notebooks/headline.py``.

It writes the tables of each study, of the measures and of the published claims between their marks in ``README.md`` and
draws ``notebooks/gains_STUDY.png``.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from strideflax import claims, results
from strideflax.study.ablation import CONSISTENCY, OPERATOR, Ablation, read_ablation
from strideflax.study.figures import draw_differences

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
STUDIES = ("cifar10", "shapes")
COLUMNS = (
    "operator", "accuracy, no crops", "gain, 95 % interval", "accuracy, crops", "gain, 95 % interval",
    "same class under shifts, no crops / crops", "MACs",
)  # fmt: skip
MEASURES = {
    "aliasing.sites.stage2/block1/reduction.alias_energy": "alias energy, stage 2",
    "aliasing.sites.stage3/block1/reduction.alias_energy": "alias energy, stage 3",
    "robustness.mean_error": "mean error under corruption",
    "calibration.expected_calibration_error": "expected calibration error",
}


def read(study: str) -> Ablation:
    """Return the shipped ablation called ``study``."""
    return read_ablation(results.shipped(f"ablation_{study}"))


def table(ablation: Ablation) -> str:
    """Return a Markdown table: a row an operator, without and with random crops, the most accurate first."""
    cells = {crop: rows.set_index(OPERATOR) for crop, rows in ablation.table.groupby("augment.crop")}
    without, cropped = (cells[crop] for crop in sorted(cells))
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for name in ablation.operators:
        accuracies = [f"{100 * rows.loc[name, 'mean']:.2f} %" for rows in (without, cropped)]
        gains = [_gain(rows.loc[name]) if name != ablation.baseline else "" for rows in (without, cropped)]
        shifts = " / ".join(f"{100 * rows.loc[name, CONSISTENCY]:.1f}" for rows in (without, cropped))
        work = without.loc[name, "macs"] / without.loc[ablation.baseline, "macs"]
        row = (f"`{name}`", accuracies[0], gains[0], accuracies[1], gains[1], f"{shifts} %", f"{work:.2f}")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def measures_table(runs: pd.DataFrame) -> str:
    """Return a Markdown table: mean and standard deviation over seeds of what accuracy hides, with random crops."""
    cropped = runs[runs["augment.crop"] == 4].groupby("model.downsample")
    lines = ["| operator | " + " | ".join(MEASURES.values()) + " |", "|" + "---|" * (1 + len(MEASURES))]
    for name in read_ablation(runs).operators:
        cells = []
        for column in MEASURES:
            values = 100 * cropped.get_group(name)[column].dropna()
            cells.append(f"{values.mean():.1f} ± {values.std():.1f} %")
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def claims_table() -> str:
    """Return a Markdown table: a row a published claim, with its verdict from the shipped runs."""
    studies = {"ablation_cifar10": ("R2", "R3"), "claims_cifar10": ("R4", "R5", "R6")}
    verdicts = pd.concat(
        claims.check_claims(results.shipped(study), [claim for claim in claims.CLAIMS if claim.name in names])
        for study, names in studies.items()
    )
    lines = ["| | claim | source | difference, 95 % interval | verdict |", "|---|---|---|---|---|"]
    for row in verdicts.to_dict("records"):
        gain = _gain({**row, "difference_low": row["low"], "difference_high": row["high"]})
        lines.append(f"| {row['claim']} | {row['text']} | {row['source']} | {gain} | {row['verdict']} |")
    return "\n".join(lines)


def with_table(text: str, name: str, rows: str) -> str:
    """Return the README's ``text`` with the table between the marks of ``name`` replaced."""
    begin, end = f"<!-- {name}: written by notebooks/headline.py -->", f"<!-- end of {name} -->"
    new, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{rows}\n{end}", text, flags=re.S
    )
    if count != 1:
        raise ValueError(f"README.md must have {begin} and {end} once, found {count}")
    return new


def _gain(row: Mapping[str, Any]) -> str:
    low, high = row["difference_low"], row["difference_high"]
    if pd.isna(low):
        return _points(row["difference"])
    return f"{_points(row['difference'])} ({_points(low)} to {_points(high)})"


def _points(fraction: float) -> str:
    """Return percentage points with a sign, a true minus."""
    return f"{100 * fraction:+.2f}".replace("-", "\N{MINUS SIGN}")


if __name__ == "__main__":
    page = README.read_text()
    for study in STUDIES:
        ablation = read(study)
        page = with_table(page, study, table(ablation))
        (ROOT / "notebooks" / f"gains_{study}.png").write_bytes(draw_differences(ablation).png)
    page = with_table(page, "measures", measures_table(results.shipped("ablation_cifar10")))
    README.write_text(with_table(page, "claims", claims_table()))
