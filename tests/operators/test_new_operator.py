"""The operator that CONTRIBUTING.md adds is really added: its file and its line, to a copy of the library."""

from pathlib import Path

import numpy as np
import pytest
from library_copy import block_with, copy_with, python_in

TABLE = "DOWNSAMPLERS: dict[str, Operator] = {\n"
IMPORTS = "from strideflax.operators.base import Downsample, Resampling\n"


@pytest.fixture(scope="module")
def source() -> str:
    """The operator's file, as the page shows it."""
    return block_with("python", "class MidrangePool")


@pytest.fixture(scope="module")
def library(source: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the library, its configs, tests and documentation, with the operator."""
    changes = {
        IMPORTS: "from strideflax.operators.midrange import MidrangePool\n",
        TABLE: block_with("text", "Operator("),
    }
    files = {"strideflax/operators/midrange.py": source}
    return copy_with(tmp_path_factory.mktemp("library"), files, "strideflax/operators/table.py", changes)


def test_a_net_trains_with_the_new_operator(library: Path):
    words = ["--config", "configs/stride2.py:quick", "--config.model.downsample=midrange_pool", "--workdir", "run"]
    words += [
        "--config.data.train_count=256",
        "--config.data.val_count=0",
        "--config.data.test_count=100",
        "--config.epochs=1",
    ]
    python_in(library, "-m", "strideflax", "train", *words)
    assert (library / "run" / "result.json").exists()


def test_the_table_s_tests_run_on_it(library: Path):
    printed = python_in(library, "-m", "pytest", "-n", "0", "-k", "midrange_pool", "tests/operators/test_table.py")
    assert " passed" in printed
    assert "failed" not in printed


def test_the_documentation_site_has_its_page(library: Path):
    page = python_in(library, "-c", "from site_pages.operators import page; print(page('midrange_pool'))")
    assert "# midrange_pool" in page
    assert "where only the span of a window's values matters" in page
    assert "| after the block's first convolution | 1.56 | 1.00 |" in page


@pytest.mark.parametrize("padding", ["SYMMETRIC", "REFLECT"])
def test_it_is_half_of_the_largest_and_the_smallest(source: str, padding: str):
    module: dict = {}
    exec(source, module)
    x = np.random.default_rng(0).normal(size=(2, 6, 8, 3)).astype(np.float32)
    blocks = x.reshape(2, 3, 2, 4, 2, 3)
    expected = (blocks.max((2, 4)) + blocks.min((2, 4))) / 2
    np.testing.assert_allclose(module["midrange_pool"](x, 2), expected, rtol=1e-6)
    np.testing.assert_allclose(module["MidrangePool"](3, padding=padding)(x), expected, rtol=1e-6)
