from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from configs.baseline import baseline
from strideflax.config import Config
from strideflax.config_file import override
from strideflax.model import make_model
from strideflax.training import FinishedRun, TrainingResult

SMALL = {"model.widths": (4, 8), "model.blocks": (2, 1), "model.strides": (1, 2), "model.stem.kernel": 3}
DATASET = {
    "name": "a test",
    "classes": ["ant", "bee", "owl"],
    "image_shape": [13, 15, 3],
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.25, 0.3],
}


@pytest.fixture(scope="session")
def make_run() -> Callable[..., FinishedRun]:
    """Return a run as it is restored, with no weight and no statistic at its initial value: ``make_run(downsample="lip")``."""

    def make(**model: Any) -> FinishedRun:
        values = baseline("quick").to_dict()
        override(values, SMALL | {f"model.{name}": value for name, value in model.items()})
        config = Config.from_dict(values)
        net = make_model(config.model, classes=3, key=jax.random.key(0))
        random = np.random.default_rng(0)

        weights = []
        for path, leaf in nnx.to_flat_state(nnx.state(net)):
            change = 0.3 * random.standard_normal(leaf.shape, dtype=np.float32)
            if path[-1] in ("scale", "var"):  # which stay positive
                change = np.abs(change)
            weights.append((path, leaf.replace(leaf[...] + change)))
        nnx.update(net, nnx.from_flat_state(weights))
        return FinishedRun(Path("nowhere"), config, TrainingResult(status="finished", dataset=DATASET), net)

    return make


@pytest.fixture
def images(random: np.random.Generator) -> np.ndarray:
    return random.integers(0, 256, (5, *DATASET["image_shape"]), np.uint8)
