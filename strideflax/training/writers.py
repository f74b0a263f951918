"""Optional writers of metrics beside ``metrics.jsonl``, behind one small protocol."""

import importlib
from pathlib import Path
from typing import Any, Protocol

from strideflax.config import Config
from strideflax.errors import UserError


class Writer(Protocol):
    """Takes the scalars of each epoch."""

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Write named scalars at ``step``."""

    def close(self) -> None:
        """Flush and let go."""


def require(module: str, extra: str) -> Any:
    """Return the optional module, or raise a UserError that names the extra which brings it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(f'--{extra} needs {module}: pip install "strideflax[{extra}]"') from None


class TensorBoardWriter:
    """Writes event files that TensorBoard reads, into ``folder / "tensorboard"``; needs the extra ``tensorboard``."""

    def __init__(self, folder: Path):
        self._writer = require("tensorboardX", "tensorboard").SummaryWriter(str(folder / "tensorboard"))

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Write named scalars at ``step``."""
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and let go."""
        self._writer.close()


class WandbWriter:
    """Sends scalars to Weights & Biases under ``project``; needs the extra ``wandb``. The run's id is its fingerprint."""

    def __init__(self, folder: Path, project: str, config: Config):
        self._run = require("wandb", "wandb").init(
            project=project, id=config.fingerprint, resume="allow", dir=str(folder), config=config.to_dict()
        )

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Log named scalars at ``step``."""
        self._run.log(scalars, step=step)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()
