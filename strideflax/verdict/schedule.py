"""How many epochs a study's runs have, so that enough pairs fit into the time."""

import math
from dataclasses import dataclass, replace

from strideflax.analysis.sequential import LAST_LOOK
from strideflax.config import Config
from strideflax.errors import UserError

USUAL_PAIRS = 8  # of two operators, they show a gain of 1.1 times the differences' standard deviation
LEAST_PAIRS = 6  # they show one of 1.4 times that deviation, five one of 1.7
LEAST_STEPS = 100  # of a run; fewer pairs than usual are planned before fewer steps
MOST_STEPS, MOST_EPOCHS = 2000, 100  # of a run; where both are reached, more pairs are planned instead
SPARE = 0.85  # share of the time that is planned, as intervals are narrow only once the planned pairs have been run


@dataclass(frozen=True)
class Speed:
    """What the operators of a study take on this device, as some first steps have shown.

    Attributes:
        step_seconds: a training step of one run of each operator, added up.
        start_seconds: until worker processes are at work, which a pair takes once.
        run_seconds: what one run of each operator takes besides its steps: loading, evaluating, saving; added up.
        compile_seconds: compiling once for each operator; added up.
        workers: runs that go on at the same time, each of this speed.
    """

    step_seconds: float
    start_seconds: float
    run_seconds: float
    compile_seconds: float
    workers: int

    def pair_seconds(self, steps: float) -> float:
        """Return how long a pair takes: one run of each operator, of so many steps."""
        return self.start_seconds + (self.run_seconds + steps * self.step_seconds) / self.workers

    def pairs(self, steps: float, seconds: float) -> int:
        """Return how many pairs of so many steps fit into the time, at most `LAST_LOOK`."""
        return min(int((seconds - self.compile_seconds / self.workers) / self.pair_seconds(steps)), LAST_LOOK)

    def steps(self, pairs: int, seconds: float) -> float:
        """Return how many steps a run may have so that so many pairs fit into the time."""
        of_a_pair = (seconds - self.compile_seconds / self.workers) / pairs - self.start_seconds
        return (of_a_pair * self.workers - self.run_seconds) / self.step_seconds


@dataclass(frozen=True)
class Schedule:
    """What was planned.

    Attributes:
        epochs, steps: of each run.
        pairs: that fit into the time.
        pair_seconds: about how long one takes.
    """

    epochs: float
    steps: int
    pairs: int
    pair_seconds: float


def make_schedule(speed: Speed, seconds: float, steps_per_epoch: int, epochs: float | None = None) -> Schedule:
    """Plan a study of ``seconds``: `USUAL_PAIRS` pairs of as many steps as fit.

    Where a run would have fewer than `LEAST_STEPS`, there are fewer pairs, down to `LEAST_PAIRS`; only then are runs still
    shorter, down to an epoch if that has fewer. Where a run would have more than both `MOST_STEPS` and `MOST_EPOCHS`, there
    are more pairs.

    Args:
        speed: of this device.
        seconds: that are left.
        steps_per_epoch: of a run.
        epochs: of a run, if they are not to be chosen.

    Raises:
        UserError: not even one pair fits.
    """
    seconds *= SPARE
    if epochs is None:
        epochs = _epochs(speed, seconds, steps_per_epoch)
    steps = max(round(epochs * steps_per_epoch), 1)
    pairs = speed.pairs(steps, seconds)
    if pairs < 1:
        needed = speed.compile_seconds / speed.workers + LEAST_PAIRS * speed.pair_seconds(steps)
        raise UserError(
            f"the time is too short for even one pair, which takes {math.ceil(speed.pair_seconds(steps))} s here and "
            f"{math.ceil(speed.compile_seconds / speed.workers)} s to compile; {LEAST_PAIRS} pairs are the fewest that tell "
            f"much: give about --minutes {math.ceil(needed / SPARE / 60) + 1}"
        )
    return Schedule(epochs, steps, pairs, speed.pair_seconds(steps))


def _epochs(speed: Speed, seconds: float, steps_per_epoch: int) -> float:
    """Return the epochs of a run: whole ones from ten on, hundredths below."""
    steps = speed.steps(USUAL_PAIRS, seconds)
    if steps < LEAST_STEPS:
        pairs = max(speed.pairs(LEAST_STEPS, seconds), LEAST_PAIRS)
        steps = min(speed.steps(pairs, seconds), LEAST_STEPS)
    steps = max(steps, min(LEAST_STEPS, steps_per_epoch))
    epochs = int(min(steps, max(MOST_STEPS, MOST_EPOCHS * steps_per_epoch))) / steps_per_epoch
    return float(math.floor(epochs)) if epochs >= 10 else max(math.floor(100 * epochs) / 100, 0.01)


def with_epochs(config: Config, epochs: float) -> Config:
    """Return ``config`` with so many epochs, the warm-up in proportion, and about four checkpoints per run."""
    share = epochs / config.epochs
    optimizer = replace(config.optimizer, warmup_epochs=min(config.optimizer.warmup_epochs * share, epochs))
    return replace(config, epochs=float(epochs), optimizer=optimizer, checkpoint_epochs=max(int(epochs / 4), 1))
