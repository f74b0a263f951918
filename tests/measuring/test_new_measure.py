"""The measure that CONTRIBUTING.md adds is really added: its file and its entry, to a copy of the library."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from docs.pages import ROOT, Page

from configs.baseline import baseline
from strideflax.config import Config
from strideflax.training import train

TABLE = "MEASURES: dict[str, Measure] = {\n"
IMPORTS = "from strideflax.measuring.batches import Progress\n"


@pytest.fixture(scope="module")
def source() -> str:
    """The measure's file, as the page shows it."""
    blocks = Page(ROOT / "CONTRIBUTING.md").blocks("python")
    (found,) = [block for block in blocks if "def mean_entropy" in block]
    return found


@pytest.fixture(scope="module")
def entry() -> str:
    """Its line in the table, as the page shows it."""
    blocks = Page(ROOT / "CONTRIBUTING.md").blocks("text")
    (found,) = [block for block in blocks if "Measure(" in block]
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    values = baseline("quick").to_dict()
    values["model"].update(widths=(4,), blocks=(1,), strides=(2,))
    values["data"].update(train_count=64, val_count=0, test_count=30)
    values.update(batch_size=32, eval_batch_size=32, epochs=1.0)
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(Config.from_dict(values), folder)
    return folder


def library_with(folder: Path, source: str, entry: str) -> Path:
    shutil.copytree(ROOT / "strideflax", folder / "strideflax", ignore=shutil.ignore_patterns("__pycache__"))
    measuring = folder / "strideflax" / "measuring"
    (measuring / "entropy.py").write_text(source)
    table = measuring / "measures.py"
    text = table.read_text()
    assert text.count(TABLE) == text.count(IMPORTS) == 1
    text = text.replace(IMPORTS, f"from strideflax.measuring import entropy\n{IMPORTS}")
    table.write_text(text.replace(TABLE, TABLE + entry))
    return folder


def test_a_measure_is_one_file_and_one_entry(source, entry, run, tmp_path):
    library = library_with(tmp_path, source, entry)
    done = subprocess.run(
        [sys.executable, "-m", "strideflax", "evaluate", str(run), "--measures", "entropy", "--images", "20"],
        cwd=library, env={**os.environ, "PYTHONPATH": str(library)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    stored = json.loads((run / "measures" / "entropy.json").read_text())
    assert stored["protocol"] == "mean entropy of the softmax in nats, first 20 test images"
    assert 0 < stored["mean_entropy_nats"] <= math.log(10)
    assert f"mean_entropy_nats  {stored['mean_entropy_nats']:.4g}" in done.stdout


def test_the_new_measure_has_its_known_answers(source):
    module: dict = {}
    exec(source, module)
    assert module["mean_entropy"](np.zeros((3, 10))) == pytest.approx(math.log(10), rel=1e-12)
    certain_and_even = np.array([[60.0, 0, 0], [1.0, 1.0, 1.0]])
    assert module["mean_entropy"](certain_and_even) == pytest.approx(math.log(3) / 2, rel=1e-9)
