"""The measure that CONTRIBUTING.md adds is really added: its file and its entry, to a copy of the library."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from library_copy import block_with, copy_with, python_in

from configs.baseline import baseline
from strideflax.config import Config
from strideflax.training import train

TABLE = "MEASURES: dict[str, Measure] = {\n"
IMPORTS = "from strideflax.measuring.batches import Progress\n"
SOURCE = block_with("python", "def mean_entropy")  # the measure's file, as the page shows it


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    values = baseline("quick").to_dict()
    values["model"].update(widths=(4,), blocks=(1,), strides=(2,))
    values["data"].update(train_count=64, val_count=0, test_count=30)
    values.update(batch_size=32, eval_batch_size=32, epochs=1.0)
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(Config.from_dict(values), folder)
    return folder


def test_a_measure_is_one_file_and_one_entry(run, tmp_path):
    changes = {
        IMPORTS: "from strideflax.measuring import entropy\n",
        TABLE: block_with("text", "Measure("),
    }
    files = {"strideflax/measuring/entropy.py": SOURCE}
    library = copy_with(tmp_path, files, "strideflax/measuring/measures.py", changes)
    words = ("-m", "strideflax", "evaluate", str(run), "--measures", "entropy", "--images", "20")
    printed = python_in(library, *words)
    stored = json.loads((run / "measures" / "entropy.json").read_text())
    assert stored["protocol"] == "mean entropy of the softmax in nats, first 20 test images"
    assert 0 < stored["mean_entropy_nats"] <= math.log(10)
    assert f"mean_entropy_nats  {stored['mean_entropy_nats']:.4g}" in printed


def test_the_new_measure_has_its_known_answers():
    module: dict = {}
    exec(SOURCE, module)
    assert module["mean_entropy"](np.zeros((3, 10))) == pytest.approx(math.log(10), rel=1e-12)
    certain_and_even = np.array([[60.0, 0, 0], [1.0, 1.0, 1.0]])
    assert module["mean_entropy"](certain_and_even) == pytest.approx(math.log(3) / 2, rel=1e-9)
