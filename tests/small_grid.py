"""A sweep of three small runs, planned as `strideflax sweep` does."""

from pathlib import Path

from strideflax.sweep.plan import SweepRun, plan_sweep, write_plan

GRID = """
from configs.baseline import baseline

def get_config(arg=None):
    config = baseline("quick")
    config.model.widths, config.model.blocks, config.model.strides = (4, 8), (1, 1), (1, 2)
    config.model.stem.kernel = 3
    config.data.update({"train_count": 960, "val_count": 32, "test_count": 64})
    config.batch_size = 32
    config.epochs = 6.0
    return config

def sweep(arg=None):
    for seed in range(3):
        yield {"seed": seed}
"""


def plan(folder: Path, text: str = GRID, out: str = "out") -> list[SweepRun]:
    """Return the runs of the grid in ``text``, each with its config in a folder below ``out``."""
    (folder / "grid.py").write_text(text)
    runs = plan_sweep(str(folder / "grid.py"), folder / out)
    write_plan(runs)
    return runs
