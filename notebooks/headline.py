"""The tables of ``RESULTS.md`` from the runs that come with the library: ``python notebooks/headline.py``.

Each table of `TABLES` is written between its marks, and ``notebooks/gains_STUDY.png`` is drawn for each study.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import recipe_tables
import stride_tables
from table_cells import gain, spread

from strideflax import claims, results, statistics
from strideflax.analysis.ablation import BASELINE, CONSISTENCY, OPERATOR, Ablation, read_ablation
from strideflax.analysis.fields import changes_results
from strideflax.report.figures import draw_differences

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "RESULTS.md"
STUDIES = ("cifar10", "shapes")
OPERATOR_FIELD = "model.downsample"
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
GAIN = ["difference", "difference_low", "difference_high"]  # of an ablation's table; `compare_paired` says low and high
# Milliseconds that are given over those of the strided convolution with the same seed.
STEP_TIME = "cost.training.median_ms"
TIMES = {
    STEP_TIME: "time of a training step",
    "cost.inference.median_ms": "time of inference",
}


def read(study: str) -> Ablation:
    """Return the shipped ablation called ``study``."""
    return read_ablation(results.shipped(f"ablation_{study}"), ranked_by="test_accuracy")


def study_table(ablation: Ablation) -> str:
    """Return a Markdown table: one row per operator, without and with random crops, the most accurate first."""
    cells = {crop: rows.set_index(OPERATOR) for crop, rows in ablation.table.groupby("augment.crop")}
    without, cropped = (cells[crop] for crop in sorted(cells))
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for name in ablation.operators:
        accuracies = [f"{100 * rows.loc[name, 'mean']:.2f} %" for rows in (without, cropped)]
        gains = [gain(rows.loc[name, GAIN].set_axis(["difference", "low", "high"])) for rows in (without, cropped)]
        shifts = " / ".join(f"{100 * rows.loc[name, CONSISTENCY]:.1f}" for rows in (without, cropped))
        work = without.loc[name, "macs"] / without.loc[ablation.baseline, "macs"]
        if name == ablation.baseline:
            gains = ["", ""]
        row = (f"`{name}`", accuracies[0], gains[0], accuracies[1], gains[1], f"{shifts} %", f"{work:.2f}")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def measures_table() -> str:
    """Return a Markdown table: mean and standard deviation over seeds of what accuracy hides, with random crops."""
    runs = results.shipped("ablation_cifar10")
    cropped = runs[runs["augment.crop"] == 4]
    lines = [
        "| operator | " + " | ".join((*MEASURES.values(), *TIMES.values())) + " |",
        "|" + "---|" * (1 + len(MEASURES) + len(TIMES)),
    ]
    by_seed = cropped.pivot(index="seed", columns=OPERATOR_FIELD, values=[*MEASURES, *TIMES])
    for name in read_ablation(runs, ranked_by="test_accuracy").operators:
        cells = [f"{spread(100 * by_seed[column, name], 1)} %" for column in MEASURES]
        cells += [spread(by_seed[column, name] / by_seed[column, BASELINE], 2) for column in TIMES]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def gains_table(runs: pd.DataFrame, factor: str, baseline: Any, heading: str, *, besides: Sequence[str] = ()) -> str:
    """Return a Markdown table: one row per level of ``factor``, with its gains over ``baseline`` in accuracy and under shifts.

    Raises:
        ValueError: the runs differ in more of their configuration or images than ``factor`` and ``besides``.
    """
    for name in runs:
        same = changes_results(name) or name == "dataset_fingerprint"
        if same and name not in (factor, *besides) and runs[name].nunique(dropna=False) > 1:
            raise ValueError(f"the runs to compare by {factor} differ in {name} too")
    macs = runs.groupby(factor)["macs"].first()
    times = runs.pivot(index="seed", columns=factor, values=STEP_TIME) if STEP_TIME in runs else pd.DataFrame()
    timed = len(times.dropna(axis=1, how="all").columns) == len(macs)
    columns = [heading, "accuracy", "gain, 95 % interval", "same class under shifts", "gain", "MACs"]
    columns += [TIMES[STEP_TIME]] * timed
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for level in sorted(macs.index, key=lambda level: (level != baseline, level)):
        cells = [f"`{level}`" if isinstance(level, str) else str(level)]
        for value in ("test_accuracy", CONSISTENCY):
            mean = runs.loc[runs[factor] == level, value].mean()
            gains = statistics.compare_paired(runs, baseline, factor, value).set_index(factor)
            cells += [f"{100 * mean:.2f} %", "" if level == baseline else gain(gains.loc[level])]
        cells += [f"{macs[level] / macs[baseline]:.2f}", *[spread(times[level] / times[baseline], 2)] * timed]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def equal_cost_table() -> str:
    """Return a Markdown table: operators before the convolution beside the strided one, all without random crops."""
    main = results.shipped("ablation_cifar10")
    strided = main[(main[OPERATOR_FIELD] == BASELINE) & (main["augment.crop"] == 0)]
    runs = pd.concat([strided, results.shipped("equal_cost_cifar10")], ignore_index=True)
    return gains_table(runs, OPERATOR_FIELD, BASELINE, "operator, before the convolution", besides=["model.placement"])


def windows_table() -> str:
    """Return a Markdown table: blurs of other lengths beside that of 3 taps, all with random crops."""
    main, further = results.shipped("ablation_cifar10"), results.shipped("claims_cifar10")
    usual = main[(main[OPERATOR_FIELD] == "blur_pool") & (main["augment.crop"] == 4)].assign(**{"model.window": 3})
    runs = pd.concat([usual, further[further[OPERATOR_FIELD] == "blur_pool"]], ignore_index=True)
    return gains_table(runs, "model.window", 3, "taps of the blur")


def claims_table() -> str:
    """Return a Markdown table: one row per published claim, with its verdict from the shipped runs."""
    runs = [results.shipped(study) for study in ("ablation_cifar10", "claims_cifar10")]
    verdicts = claims.check_claims(pd.concat(runs, ignore_index=True))
    lines = ["| | claim | source | difference, 95 % interval | verdict |", "|---|---|---|---|---|"]
    for row in verdicts.to_dict("records"):
        lines.append(f"| {row['claim']} | {row['text']} | {row['source']} | {gain(row)} | {row['verdict']} |")
    return "\n".join(lines)


def with_table(text: str, name: str, rows: str) -> str:
    """Return ``text``, that of ``RESULTS.md``, with the table between the marks of ``name`` replaced."""
    begin, end = f"<!-- {name}: written by notebooks/headline.py -->", f"<!-- end of {name} -->"
    new, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{rows}\n{end}", text, flags=re.S
    )
    if count != 1:
        raise ValueError(f"RESULTS.md must have {begin} and {end} once, found {count}")
    return new


TABLES: dict[str, Callable[[], str]] = {
    "cifar10": lambda: study_table(read("cifar10")),
    "equal_cost": equal_cost_table,
    "measures": measures_table,
    "claims": claims_table,
    "windows": windows_table,
    "shapes": lambda: study_table(read("shapes")),
    "tricks": recipe_tables.tricks_table,
    "output_strides": stride_tables.output_stride_table,
    "mask_operators": lambda: stride_tables.operators_table("segment_scenes", stride_tables.SCENES),
    "camvid_strides": stride_tables.camvid_stride_table,
    "camvid_operators": lambda: stride_tables.operators_table("segment_camvid", stride_tables.CAMVID),
    "stride_choices": stride_tables.choices_table,
}


if __name__ == "__main__":
    page = RESULTS.read_text()
    for name, table in TABLES.items():
        page = with_table(page, name, table())
    RESULTS.write_text(page)
    for study in STUDIES:
        (ROOT / "notebooks" / f"gains_{study}.png").write_bytes(draw_differences(read(study)).png)
