"""How a study is carried out: pairs are added until every operator is settled or the time is up."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from strideflax.analysis.sequential import FIRST_LOOK, LAST_LOOK
from strideflax.errors import UserError
from strideflax.sweep.plan import SweepRun
from strideflax.training.result import read_result
from strideflax.verdict.clock import Clock, TimeUp
from strideflax.verdict.runner import Runner
from strideflax.verdict.study import Study

ROUND_SECONDS = 45.0  # a round of pairs takes at least so long, as each one starts the worker processes anew
FITS = 0.8  # a round is begun if so much of it fits into the time that is left
PATIENCE = 10  # rounds without any result, a second apart: a worker whose study was killed holds its run for a moment


@dataclass(frozen=True)
class Progress:
    """Whom a study tells what it does.

    Attributes:
        at_work: called about twice a second with the runs of a round and the folders that workers have in hand.
        round_ended: called when a round has ended.
    """

    at_work: Callable[[list[SweepRun], set[Path]], None]
    round_ended: Callable[[], None]


def run_pairs(study: Study, runner: Runner, clock: Clock, pair_seconds: float, progress: Progress) -> bool:
    """Add pairs until every operator is settled; return False if the time was up before.

    Pairs that are there already are not run again, and an operator that is settled gets no more of them.

    Args:
        study: what to run.
        runner: what trains the runs.
        clock: the time that there is.
        pair_seconds: about how long a pair of all operators takes.
        progress: told what happens.

    Raises:
        UserError: another process holds the runs.
    """
    run_seconds = pair_seconds / len(study.operators)

    def tick(in_hand: set[Path]) -> None:
        clock.check()
        progress.at_work(runs, in_hand)

    tries = 0
    while unsettled := [verdict.operator for verdict in study.verdicts() if not verdict.is_settled]:
        runs = _next_round(study, unsettled, runner.workers, run_seconds, clock.left)
        one_pair = min(len(runs), len(unsettled) + 1) * run_seconds
        if clock.left < FITS * one_pair:
            return False
        start = time.monotonic()
        try:
            runner.run(runs, tick)
        except TimeUp:
            return False
        finally:
            clock.note()
        ended = [run for run in runs if read_result(run.folder) is not None]
        if ended:
            run_seconds = (time.monotonic() - start) / len(ended)
            progress.round_ended()
            tries = 0
        elif tries == PATIENCE:
            raise UserError(f"{runs[0].folder} is in use by another process; wait for it")
        else:
            tries += 1
            time.sleep(1)
    return True


def _next_round(
    study: Study, operators: list[str], workers: int, run_seconds: float, seconds_left: float
) -> list[SweepRun]:
    """Return the runs without a result of the next pairs: of one, or of as many as `ROUND_SECONDS` or the first look take."""
    done = min(study.pairs_run(operator) for operator in operators)
    pair_seconds = run_seconds * (len(operators) + 1)
    pairs = max(FIRST_LOOK - done, math.ceil(ROUND_SECONDS / pair_seconds), math.ceil(workers / (len(operators) + 1)))
    pairs = min(pairs, LAST_LOOK - done, max(int(seconds_left / pair_seconds), 1))
    runs = study.runs(operators, range(done, done + pairs))
    return [run for run in runs if read_result(run.folder) is None]
