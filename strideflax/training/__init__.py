"""From a configuration to a trained model: ``train`` a run in its folder, ``restore_run`` it when it has finished."""

from strideflax.training.loop import Interrupted
from strideflax.training.monitoring import Plan, Progress, TensorBoardWriter, WandbWriter, Writer
from strideflax.training.result import FinishedRun, TrainingResult, restore_run
from strideflax.training.run import train
from strideflax.training.run_folder import InUseError, RunFolderError
from strideflax.training.sharing import SharedWork

__all__ = [
    "FinishedRun",
    "InUseError",
    "Interrupted",
    "Plan",
    "Progress",
    "RunFolderError",
    "SharedWork",
    "TensorBoardWriter",
    "TrainingResult",
    "WandbWriter",
    "Writer",
    "restore_run",
    "train",
]
