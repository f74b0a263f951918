"""The config that CONTRIBUTING.md adds is one that the commands read; the operator of the guide computes what it says."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from docs.pages import ROOT, Page

from strideflax.config_file import read_config
from strideflax.operators import DOWNSAMPLERS


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


def test_the_operator_of_the_guide_takes_the_minimum(random: np.random.Generator):
    (found,) = [block for block in Page(ROOT / "docs/guide/train.md").blocks("python") if "class MinPool" in block]
    names = {}
    exec(found, names)
    del DOWNSAMPLERS["min_pool"]
    x = random.normal(size=(2, 6, 8, 3)).astype(np.float32)
    expected = x.reshape(2, 3, 2, 4, 2, 3).min((2, 4))
    np.testing.assert_array_equal(names["MinPool"](3)(jnp.asarray(x)), expected)
