"""``bench --all``: the comparison with PyTorch, every scaling curve and the overhead, one after another, into one folder.

For a machine that is lent for an hour, as one with an accelerator may be. Each part is a process of its own, so that none holds
the device or takes the others down with it; what could not be done is said at the end.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from strideflax.benchmark.contenders import SHARED_MEMORY
from strideflax.benchmark.scaling import AXES
from strideflax.benchmark.turns import process_environment
from strideflax.commands.console import console

MISTAKE = 2  # the exit status for what the user should mend


def everything(args: argparse.Namespace) -> None:
    """Do each part as by its own option; stop at once if the first finds a mistake, exit with 1 if another part failed."""
    folder = folder_of(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    parts = {
        "against": ["--against", "torch"],
        "overhead": ["--overhead"],
        **{f"scaling_{axis}": ["--scaling", axis] for axis in AXES},
    }
    failed = []
    for number, (name, options) in enumerate(parts.items()):
        console.print(f"{number + 1}/{len(parts)} {name}", style="bold", markup=False)
        status = run_part([*options, "--out", str(folder / f"{name}.json"), *common_options(args)])
        if status == MISTAKE and number == 0:
            raise SystemExit(MISTAKE)
        failed += [name] * (status != 0)
    if failed:
        console.print(f"not done, or not wholly, see above: {', '.join(failed)}", style="red", markup=False)
        raise SystemExit(1)


def folder_of(out: Path) -> Path:
    """Return ``out``, without the ending of the other options' file."""
    return out.with_suffix("") if out.suffix == ".json" else out


def common_options(args: argparse.Namespace) -> list[str]:
    """Return the words of the command line that every part gets."""
    named = {"--rounds": args.rounds, "--dtypes": args.dtypes, "--only": args.only, "--torch-python": args.torch_python}
    return [*(str(word) for option in named.items() for word in option), "--config", *args.config, *args.overrides]


def run_part(words: list[str]) -> int:
    """Run ``bench`` with these words and return its exit status."""
    command = [sys.executable, "-m", "strideflax", "bench", *words]
    return subprocess.run(command, env=process_environment() | SHARED_MEMORY).returncode
