"""What a run tells while it trains: the progress that a command shows, and further writers of its metrics."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from strideflax.config import Config
from strideflax.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What will run, in words and numbers; most of it stands in the run's result, too.

    Attributes:
        model: the network in words.
        params, macs: its parameters, and its multiply-adds per image.
        dataset: name, fingerprint, number of images of each split, and where they came from.
        device: the devices in words.
        epochs, steps, batch_size, seed, config_fingerprint: the configuration's.
    """

    model: str
    params: int
    macs: int
    dataset: dict[str, Any]
    device: str
    epochs: float
    steps: int
    batch_size: int
    seed: int
    config_fingerprint: str


class Progress(Protocol):
    """What a run reports, in this order: images, one plan, then steps and epochs, and notes at any time."""

    def images(self, what: str, done: int, total: int) -> None:
        """Say how many image files are read, before the plan: looked at, or decoded."""

    def plan(self, plan: Plan) -> None:
        """Say what will run."""

    def step(self, done: int, total: int) -> None:
        """Say how many steps are done."""

    def epoch(self, record: dict[str, Any]) -> None:
        """Say how an epoch went: the line that goes into ``metrics.jsonl``."""

    def note(self, text: str) -> None:
        """Say something a user should know: a resumed run, a damaged checkpoint."""


class Silent:
    """Progress that says nothing."""

    def images(self, what: str, done: int, total: int) -> None:
        """Do nothing."""

    def plan(self, plan: Plan) -> None:
        """Do nothing."""

    def step(self, done: int, total: int) -> None:
        """Do nothing."""

    def epoch(self, record: dict[str, Any]) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


class Writer(Protocol):
    """Takes the scalars of each epoch."""

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Write named scalars at ``step``."""

    def close(self) -> None:
        """Flush and let go."""


def require_extra(module: str, extra: str, option: str | None = None) -> Any:
    """Return the optional module, or raise a UserError that names what needs it, and the extra which brings it.

    ``option`` is the command's; None is ``--EXTRA``.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(f'{option or f"--{extra}"} needs {module}: pip install "strideflax[{extra}]"') from None


class TensorBoardWriter:
    """Writes event files that TensorBoard reads, into ``folder / "tensorboard"``; needs the extra ``tensorboard``."""

    def __init__(self, folder: Path):
        self._writer = require_extra("tensorboardX", "tensorboard").SummaryWriter(str(folder / "tensorboard"))

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
        self._run = require_extra("wandb", "wandb").init(
            project=project, id=config.fingerprint, resume="allow", dir=str(folder), config=config.to_dict()
        )

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Log named scalars at ``step``."""
        self._run.log(scalars, step=step)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()
