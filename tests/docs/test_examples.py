"""Every Python example of the documentation runs, and every command line in it is one that the program takes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from docs.pages import ROOT, Page, all_pages

from strideflax.commands.command_line import program_parser
from strideflax.config_file import read_config

SECONDS = 400
PLACEHOLDER = re.compile(r"\.\.\.|…")


def with_python(pages: list[Page]) -> list[Page]:
    return [page for page in pages if page.blocks("python")]


def with_commands(pages: list[Page]) -> list[Page]:
    return [page for page in pages if page.command_lines()]


def test_the_readme_and_the_guide_have_examples():
    names = [page.name for page in with_python(all_pages())]
    assert {"README.md", "docs/guide/start.md", "docs/guide/compare.md"} <= set(names)


@pytest.mark.parametrize("page", with_python(all_pages()), ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page: Page, tmp_path: Path):
    script = tmp_path / "example.py"
    script.write_text("\n".join(page.blocks("python")))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("page", with_commands(all_pages()), ids=lambda page: page.name)
def test_the_command_lines_of_a_page_are_understood(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, text in page.python_files().items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)  # the shipped configs are found from anywhere
    for words in page.command_lines():
        if not PLACEHOLDER.search(" ".join(words)):
            understand(words)


def understand(words: list[str]) -> None:
    """Parse ``words`` as the program does, and build the configuration that they name."""
    overrides = [word for word in words if word.startswith("--config.")]
    args = program_parser().parse_args([word for word in words if word not in overrides])
    named = getattr(args, "config", None) or []
    for file in [named] if isinstance(named, str) else named:
        read_config(file, overrides)


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--config", "configs/stride2.py", "--config.model.downsample=blurpool"],
        ["sweep", "--config", "configs/ablation.py", "--out", "runs/x", "--wrokers", "2"],
        ["bench", "scaling", "depth"],
    ],
)
def test_a_command_line_with_a_mistake_is_found(words: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises((ValueError, SystemExit)):
        understand(words)
