"""A study: operators trained in pairs on the same images, run by run in a folder, and where each of them stands."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from strideflax.analysis.sequential import LAST_LOOK, UNDECIDED, Standing, decide, pairs_expected
from strideflax.config import Config
from strideflax.errors import ConfigError, UserError
from strideflax.sweep.plan import SweepRun
from strideflax.training.result import FINISHED, TrainingResult, read_result
from strideflax.verdict.images import StudyImages

MOST_LOST_PAIRS = 3  # an operator that loses more to runs without a result is given up
RUNS = "runs"

Pair: TypeAlias = tuple[TrainingResult, TrainingResult]  # the baseline's and the operator's


@dataclass(frozen=True)
class Verdict:
    """What a study says of one operator.

    Attributes:
        operator, baseline: what was compared.
        differences: of each pair, operator minus baseline, as fractions.
        standing: what they say.
        pairs_expected: how many would decide if further ones were like these; None if too many, or not to be said.
        lost: pairs of which a run failed or diverged.
        error: what the last of those said.
        accuracy, baseline_accuracy: means over the pairs, as fractions; NaN without pairs.
        cost: the operator's MACs over the baseline's; NaN without pairs.
        learned: whether either of the two is better than chance.
    """

    operator: str
    baseline: str
    differences: tuple[float, ...]
    standing: Standing
    pairs_expected: int | None
    lost: int
    error: str | None
    accuracy: float
    baseline_accuracy: float
    cost: float
    learned: bool

    @property
    def is_settled(self) -> bool:
        """Whether further pairs would change nothing, or nothing worth their time."""
        if self.lost > MOST_LOST_PAIRS:
            return True
        if not self.learned:
            return not math.isnan(self.standing.low)  # as many pairs as an interval takes, and none has learned
        return self.standing.outcome != UNDECIDED or len(self.differences) + self.lost >= LAST_LOOK


@dataclass(frozen=True)
class Study:
    """Operators that are compared with a baseline on the same images.

    Attributes:
        config: of each run but for its operator and its seed; the pairs' seeds count up from its own.
        operators: the baseline first.
        folder: the study's; its runs are in the folder ``runs`` there.
        images: what they are trained and tested on.
        planned_pairs: how many there were to be; None until they are planned, and in studies older than this rule.
    """

    config: Config
    operators: tuple[str, ...]
    folder: Path
    images: StudyImages
    planned_pairs: int | None = None

    @property
    def baseline(self) -> str:
        """What the others are compared with."""
        return self.operators[0]

    def run(self, operator: str, pair: int) -> SweepRun:
        """Return the run of ``operator`` in a pair, counted from 0."""
        changes = {"model.downsample": operator, "seed": self.config.seed + pair}
        config = changed(self.config, operator, pair)
        return SweepRun(changes, config, self.folder / RUNS / config.fingerprint)

    def runs(self, operators: Sequence[str], pairs: range) -> list[SweepRun]:
        """Return the runs of the baseline and of ``operators``, pair by pair."""
        found = []
        for pair in pairs:
            for operator in (self.baseline, *operators):
                found.append(self.run(operator, pair))
        return found

    def pairs_run(self, operator: str) -> int:
        """Return how many pairs of ``operator`` have ended, the first that have, with a result or without."""
        for pair in range(LAST_LOOK):
            for name in (self.baseline, operator):
                if read_result(self.run(name, pair).folder) is None:
                    return pair
        return LAST_LOOK

    def verdict(self, operator: str) -> Verdict:
        """Return what the pairs that have ended say of ``operator``, as far as the first that settled it.

        So it depends neither on how many more pairs were run nor on when.
        """
        pairs: list[Pair] = []
        lost, error = 0, None
        verdict = self._judge(operator, pairs, lost, error)
        for pair in range(self.pairs_run(operator)):
            first, second = (read_result(self.run(name, pair).folder) for name in (self.baseline, operator))
            assert first is not None
            assert second is not None
            if first.status == second.status == FINISHED:
                pairs.append((first, second))
            else:
                lost += 1
                error = second.error or first.error
            verdict = self._judge(operator, pairs, lost, error)
            if verdict.is_settled:
                break
        return verdict

    def _judge(self, operator: str, pairs: list[Pair], lost: int, error: str | None) -> Verdict:
        accuracies = np.array([(first.test_accuracy, second.test_accuracy) for first, second in pairs], float)
        means = accuracies.mean(0) if pairs else np.full(2, math.nan)
        differences = accuracies[:, 1] - accuracies[:, 0] if pairs else np.zeros(0)
        comparisons, resolution = len(self.operators) - 1, 1 / self.images.test_count
        return Verdict(
            operator=operator,
            baseline=self.baseline,
            differences=tuple(differences.tolist()),
            standing=decide(
                differences, comparisons=comparisons, resolution=resolution, planned_pairs=self.planned_pairs
            ),
            pairs_expected=pairs_expected(
                differences, comparisons=comparisons, resolution=resolution, planned_pairs=self.planned_pairs
            ),
            lost=lost,
            error=error,
            accuracy=float(means[1]),
            baseline_accuracy=float(means[0]),
            cost=_cost(pairs),
            learned=not pairs or bool(means.max() > self.images.most_by_chance),
        )

    def verdicts(self) -> list[Verdict]:
        """Return what the pairs say of each operator but the baseline."""
        return [self.verdict(operator) for operator in self.operators[1:]]


def _cost(pairs: list[Pair]) -> float:
    for first, second in pairs:
        if first.macs and second.macs:
            return second.macs / first.macs
    return math.nan


def changed(config: Config, operator: str, pair: int) -> Config:
    """Return ``config`` with ``operator`` and the seed of ``pair``."""
    return replace(config, seed=config.seed + pair, model=replace(config.model, downsample=operator))


def check_task(config: Config) -> None:
    """Raise ConfigError unless runs of ``config`` are judged as a study judges them, by their accuracy over images."""
    if config.task != "classify":
        raise ConfigError(
            f"config.task must be 'classify' in a study, which compares accuracies over images, got {config.task!r}; compare "
            "such runs by strideflax sweep and report"
        )


def check_operators(config: Config, operators: Sequence[str], baseline: str) -> tuple[str, ...]:
    """Return ``operators`` with the baseline first.

    Raises:
        ConfigError: an unknown operator, or one that ``config`` does not allow.
        UserError: the baseline is not among them, there is none beside it, or one stands there twice.
    """
    for operator in operators:
        changed(config, operator, 0)
    if len(set(operators)) < len(operators):
        twice = next(name for name in operators if operators.count(name) > 1)
        raise UserError(f"--operators names {twice} twice")
    if baseline not in operators:
        raise UserError(
            f"--operators must hold the baseline {baseline}, got {','.join(operators)}; add it, or choose --baseline"
        )
    if len(operators) < 2:
        raise UserError(f"--operators must hold an operator beside the baseline, got {baseline} alone")
    others = [name for name in operators if name != baseline]
    return (baseline, *others)
