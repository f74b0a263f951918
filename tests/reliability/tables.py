"""The counts of a full run, as RELIABILITY.md shows them."""

from collections.abc import Mapping
from pathlib import Path

NAMES = {
    "kills": "`kill -9` of a training run: at any moment, between checkpoints, within a save",
    "sweep kills": "`kill -9` of a sweep, alone or with its workers",
    "compare kills": "`kill -9` or Ctrl-C of `compare`, and the same verdict when it is started again",
    "stops": "Ctrl-C or SIGTERM at any moment",
    "endings": "every command, ended by Ctrl-C, twice, by SIGTERM, by closing its terminal, as it loads and as it works",
    "injuries": "checkpoint files damaged: bits flipped, cut, emptied, filled with others' bytes, lengthened, deleted",
    "disks": "disks that fill up, or stop at a file size, at some moment of a run",
    "mid-call endings": "scripts that end while oneDNN computes: nine ways, with threads, forks and child processes",
    "interrupts": "Ctrl-C while oneDNN computes, in loops, beside other threads, in a notebook's kernel",
    "convolutions": "random convolutions and gradients on five instruction sets, by oneDNN (or left to XLA), against NumPy",
    "cases": "random cases (Hypothesis): shapes, padding, operators, configs, files",
    "checks": "other checks in `tests/reliability`",
}
BEGIN, END = "<!-- counts: written by the long form -->", "<!-- end of counts -->"


def write_counts(
    document: Path, where: str, counts: Mapping[str, int], failures: Mapping[str, int], seconds: float
) -> None:
    """Replace the table between the marks in ``document``."""
    rows = [f"| {name} | {counts.get(what, 0):,} | {failures.get(what, 0)} |" for what, name in NAMES.items()]
    table = "\n".join([f"{where}; {seconds:,.0f} s:", "", "| trials | number | failures |", "|---|---:|---:|", *rows])
    before, _, rest = document.read_text().partition(BEGIN)
    document.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}")
