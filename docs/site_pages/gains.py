"""What an operator gained in the studies that come with the library, as one table."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from strideflax import results, statistics
from strideflax.analysis.ablation import BASELINE, CONSISTENCY
from strideflax.operators.table import downsampler

OPERATOR = "model.downsample"
MINUS = "\N{MINUS SIGN}"
PLACES = {"after": "after the convolution", "before": "before it"}


@dataclass(frozen=True)
class Setting:
    """One way in which operators were trained: the shipped study, its images, the random crops, the operator's place."""

    study: str
    images: str
    crop: int
    place: str
    config: str

    @property
    def text(self) -> str:
        """Return the setting in words."""
        return f"{self.images}, {'random crops' if self.crop else 'no crops'}"


SETTINGS = (
    Setting("ablation_cifar10", "CIFAR-10", 0, "after", "configs/ablation.py:narrow"),
    Setting("ablation_cifar10", "CIFAR-10", 4, "after", "configs/ablation.py:narrow"),
    Setting("equal_cost_cifar10", "CIFAR-10", 0, "before", "configs/equal_cost.py:narrow"),
    Setting("ablation_shapes", "drawn shapes", 0, "after", "configs/ablation.py:quick"),
    Setting("ablation_shapes", "drawn shapes", 4, "after", "configs/ablation.py:quick"),
)


def gains_table(name: str) -> str | None:
    """Return a Markdown table, one row per setting in which ``name`` was trained, and its commands; None if in none."""
    rows, commands = [], []
    for setting in SETTINGS:
        accuracy = gains(setting.study, setting.crop, "test_accuracy").get(name)
        if accuracy is None:
            continue
        shifts = gains(setting.study, setting.crop, CONSISTENCY)[name]
        place = "as the convolution" if downsampler(name).convolves else PLACES[setting.place]
        cells = (setting.text, place, _points(accuracy), _points(shifts), str(accuracy["pairs"]))
        rows.append("| " + " | ".join(cells) + " |")
        command = f"$ strideflax sweep --config {setting.config} --out runs/{setting.study}"
        if command not in commands:
            commands.append(command)
    if not rows:
        return None
    head = [
        "| images | place | gain in accuracy | gain in same class under shifts | pairs |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, "", "```console", *commands, "```"])


def shortest_gain(name: str) -> str:
    """Return the gain on CIFAR-10 with random crops for a list of all operators, e.g. ``+2.67``; a dash if unknown."""
    gain = gains("ablation_cifar10", 4, "test_accuracy").get(name)
    return "–" if gain is None else _signed(gain["difference"])


@functools.cache
def gains(study: str, crop: int, value: str) -> Mapping[str, Mapping[str, Any]]:
    """Return for each operator the row of `statistics.compare_paired` that compares it with the strided convolution."""
    runs = results.shipped(study)
    runs = runs[runs["augment.crop"] == crop]
    if BASELINE not in set(runs[OPERATOR]):  # at equal cost the baseline is that of the main study
        main = results.shipped("ablation_cifar10")
        strided = main[(main["augment.crop"] == crop) & (main[OPERATOR] == BASELINE)]
        runs = pd.concat([strided, runs], ignore_index=True)
    by_operator = {}
    for row in statistics.compare_paired(runs, BASELINE, OPERATOR, value).to_dict("records"):
        by_operator[row[OPERATOR]] = row
    return by_operator


def _points(row: Mapping[str, Any]) -> str:
    return f"{_signed(row['difference'])} ({_signed(row['low'])} to {_signed(row['high'])})"


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.2f}".replace("-", MINUS)
