"""The config that CONTRIBUTING.md adds is one that the commands read."""

from pathlib import Path

import pytest
from docs.pages import ROOT, Page

from strideflax.config_file import read_config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The config's file, as the page shows it."""
    blocks = Page(ROOT / "CONTRIBUTING.md").blocks("python")
    (found,) = [block for block in blocks if "def get_config" in block]
    path = tmp_path / "gem.py"
    path.write_text(found)
    return path


@pytest.mark.parametrize("variant", ["", ":quick", ":narrow"])
def test_it_differs_from_the_baseline_in_what_it_says(file: Path, variant: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    found = read_config(f"{file}{variant}", [])
    stride = read_config(f"configs/stride2.py{variant}", [])
    assert found.differences(stride) == {"model.downsample": ("gem_pool", "strided_conv")}
