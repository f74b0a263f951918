"""The shell commands that make an ablation's numbers again."""

import shlex
from typing import Any

from strideflax.analysis.ablation import Ablation
from strideflax.analysis.fields import changes_results
from strideflax.analysis.run_table import is_missing

CONFIG = "configs/stride2.py"  # every field that changes a result is set, so its own numbers don't matter


def regenerate(ablation: Ablation, source: str) -> str:
    """Return a bash script: the fields that all runs share, one training command per run, and the report."""
    runs = ablation.runs
    if "model.downsample" in runs:
        runs = runs[runs["model.downsample"].notna()]  # without what could not be read
    shared, varying = [], []
    for name in runs:
        if changes_results(name) or name == "seed":
            if runs[name].nunique() == 1 and runs[name].notna().all():
                shared.append(_flag(name, runs[name].iloc[0]))
            else:
                varying.append(name)
    lines = [
        f"# this report: python -m strideflax report {shlex.quote(source)}",
        f"COMMON={shlex.quote(' '.join(shared))}",
    ]
    for row in runs.to_dict("records"):
        folder = shlex.quote(f"runs/again/{row['run']}")
        lines.append(f"python -m strideflax train --config {CONFIG} $COMMON {_flags(row, varying)} --workdir {folder}")
    lines.append("python -m strideflax report runs/again")
    return "\n".join(lines)


def _flags(row: dict[str, Any], names: list[str]) -> str:
    return " ".join(shlex.quote(_flag(name, row[name])) for name in names if not is_missing(row[name]))


def _flag(name: str, value: Any) -> str:
    """Return ``--config.NAME=VALUE`` without spaces; a whole number held as a float is written as one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"--config.{name}={value}".replace(" ", "")
