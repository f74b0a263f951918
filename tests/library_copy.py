"""A copy of the repository in a temporary folder, with one file and one line of a table more."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from docs.pages import ROOT, Page

PARTS = ("strideflax", "configs", "tests", "docs", "notebooks")


def block_with(language: str, text: str) -> str:
    """Return the one code block of CONTRIBUTING.md in ``language`` that holds ``text``."""
    (found,) = [block for block in Page(ROOT / "CONTRIBUTING.md").blocks(language) if text in block]
    return found


def copy_with(folder: Path, files: dict[str, str], table: str, changes: dict[str, str]) -> Path:
    """Copy the repository to ``folder`` and change it.

    Args:
        folder: an empty folder.
        files: new files, by their paths.
        table: path of the table that gets a line.
        changes: texts that stand once in the table, and what follows each.
    """
    without = shutil.ignore_patterns("__pycache__", "generated", "_build")
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=without)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for path, content in files.items():
        (folder / path).write_text(content)
    text = (folder / table).read_text()
    for place, addition in changes.items():
        assert text.count(place) == 1, place
        text = text.replace(place, place + addition)
    (folder / table).write_text(text)
    return folder


def python_in(folder: Path, *words: str) -> str:
    """Run Python in the copy and return what it printed."""
    paths = [str(folder), str(folder / "docs"), str(folder / "notebooks")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout
