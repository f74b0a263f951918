"""The shell commands that make an ablation's numbers again."""

import shlex
from typing import Any

from strideflax.analysis.ablation import Ablation
from strideflax.analysis.fields import changes_results
from strideflax.analysis.run_table import is_missing

CONFIG = "configs/stride2.py"  # every field that changes a result is set, so its own numbers don't matter


def regenerate(ablation: Ablation, source: str) -> str:
    """Return a bash script: the fields that all runs share, one training command a run, and the report."""
    fields = [name for name in ablation.runs if changes_results(name) or name == "seed"]
    runs = ablation.runs[ablation.runs["model.downsample"].notna()] if "model.downsample" in fields else ablation.runs
    fields = [name for name in fields if runs[name].notna().any()]
    shared = [name for name in fields if runs[name].nunique() == 1 and runs[name].notna().all()]
    varying = [name for name in fields if name not in shared]
    common = " ".join(_flag(name, runs[name].iloc[0]) for name in shared)
    lines = [
        f"COMMON={shlex.quote(common)}",
        *(
            f"python train.py --config {CONFIG} $COMMON {_flags(row, varying)} "
            f"--workdir {shlex.quote('runs/again/' + row['run'])}"
            for row in runs.to_dict("records")
        ),
        "python -m strideflax report runs/again",
    ]
    return "\n".join([f"# this report: python -m strideflax report {shlex.quote(source)}", *lines])


def _flags(row: dict[str, Any], names: list[str]) -> str:
    return " ".join(shlex.quote(_flag(name, row[name])) for name in names if not is_missing(row[name]))


def _flag(name: str, value: Any) -> str:
    """Return ``--config.NAME=VALUE`` without spaces; a whole number held as a float is written as one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"--config.{name}={value}".replace(" ", "")
