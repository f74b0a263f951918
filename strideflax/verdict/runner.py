"""What trains a study's runs: an engine of a sweep."""

from dataclasses import dataclass

from strideflax.sweep.engines import Engine, Tick
from strideflax.sweep.plan import SweepRun, write_plan


@dataclass(frozen=True)
class Runner:
    """What trains runs.

    Attributes:
        engine: that trains them, as in a sweep.
        workers: runs that it trains at once.
        config_file: noted in each run's folder.
    """

    engine: Engine
    workers: int
    config_file: str

    def run(self, runs: list[SweepRun], tick: Tick) -> None:
        """Train ``runs``, or go on with them."""
        write_plan(runs, self.config_file)
        self.engine([run.folder for run in runs], tick)
