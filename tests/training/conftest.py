"""A configuration so small that a run takes seconds, and one finished run of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.baseline import baseline
from strideflax.config import Config
from strideflax.config_file import override
from strideflax.training import train

TINY = {
    "model.widths": (4, 8),
    "model.blocks": (1, 1),
    "model.strides": (1, 2),
    "model.stem.kernel": 3,
    "data.train_count": 160,
    "data.val_count": 48,
    "data.test_count": 70,
    "batch_size": 32,
    "eval_batch_size": 32,
    "epochs": 3.0,
    "optimizer.learning_rate": 0.05,
}


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Config]:
    """Return the tiny configuration, with changes: ``tiny(seed=1, **{"model.downsample": "max_pool"})``."""

    def make(**changes: Any) -> Config:
        values = baseline("quick").to_dict()
        override(values, TINY | changes)
        return Config.from_dict(values)

    return make


@pytest.fixture(scope="session")
def finished(tiny: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny run that went through without interruption."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    train(tiny(), folder)
    return folder
