import subprocess
import sys
from pathlib import Path

import pytest

from strideflax.errors import UserError
from strideflax.training.monitoring import TensorBoardWriter, WandbWriter

OFFLINE = """
import os, sys
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true")
from pathlib import Path
from configs.baseline import baseline
from strideflax.config import Config
from strideflax.training.monitoring import WandbWriter
writer = WandbWriter(Path(sys.argv[1]), "strideflax", Config.from_dict(baseline("quick").to_dict()))
writer.write(3, {"train_loss": 0.5})
writer.close()
"""


def test_tensorboard_events_hold_the_scalars(tmp_path):
    writer = TensorBoardWriter(tmp_path)
    writer.write(3, {"val_accuracy": 0.5})
    writer.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"val_accuracy" in events.read_bytes()


def test_wandb_records_a_run_named_by_its_fingerprint(tmp_path, tiny):
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", OFFLINE, str(tmp_path)], cwd=root, check=True, capture_output=True)
    (record,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert b"train_loss" in record.read_bytes()


@pytest.mark.parametrize(
    ("module", "extra", "make"),
    [
        ("tensorboardX", "tensorboard", lambda folder, config: TensorBoardWriter(folder)),
        ("wandb", "wandb", lambda folder, config: WandbWriter(folder, "strideflax", config)),
    ],
)
def test_without_the_extra_the_answer_names_it(monkeypatch, tmp_path, tiny, module, extra, make):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf'pip install "strideflax\[{extra}\]"'):
        make(tmp_path, tiny())
