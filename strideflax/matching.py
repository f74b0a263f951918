"""Compute-matched pairs: a config whose MACs equal another's, so that operators can be compared at equal compute.

A pool after a convolution makes that convolution run on the large map, so an ablation at equal depth gives each
operator a compute budget of its own. Two cures: let the pool stand before the convolution, or change the channels.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from strideflax.config import Config
from strideflax.errors import UserError
from strideflax.inspection import count_macs
from strideflax.model import ModelConfig, abstract_model

TOLERANCE = 0.02
METHODS = ("placement", "width")


class MatchError(UserError, ValueError):
    """No config of that kind has the MACs asked for; the message states the best ratio reached."""


def match_macs(config: Config, *, to: Config, by: str, size: int | Sequence[int] = (32, 32)) -> Config:
    """Return ``config`` with its network changed so that its MACs are within 2 % of those of ``to``.

    The MACs are those of `strideflax.inspection.count_macs`. A config that matches already comes back unchanged.

    Args:
        config: what to change.
        to: the reference, e.g. the strided baseline.
        by: "placement" moves the pool before or after the convolution; "width" scales the channels of all stages
            together, each rounded to a whole channel; if that is too coarse, it changes single stages by one or two
            channels, later ones first.
        size: height and width of the image, or one int for both.

    Raises:
        MatchError: the closest config of that kind is further away than 2 %.
        InputSizeError: an image too small for one of the networks.
        ValueError: ``by`` is neither.
    """
    if by not in METHODS:
        raise ValueError(f"by must be one of {', '.join(METHODS)}, got {by!r}")

    @cache
    def ratio(model: ModelConfig) -> float:
        return count_macs(abstract_model(model), size) / target

    target = count_macs(abstract_model(to.model), size)
    if abs(ratio(config.model) - 1) <= TOLERANCE:
        return config
    best = _placed(config.model, ratio) if by == "placement" else _widened(config.model, ratio)
    if abs(ratio(best) - 1) > TOLERANCE:
        advice = "; its widths can be changed instead (by width)" if by == "placement" else ""
        raise MatchError(
            f"{config.model.downsample}: no {by} gives {target:,} MACs within {TOLERANCE:.0%}; the closest has "
            f"{ratio(best):.3f} times as many{advice}"
        )
    return replace(config, model=best)


def _placed(model: ModelConfig, ratio: Callable[[ModelConfig], float]) -> ModelConfig:
    return _closest([model, *(replace(model, placement=placement) for placement in ("after", "before"))], ratio)


def _widened(model: ModelConfig, ratio: Callable[[ModelConfig], float]) -> ModelConfig:
    """Return the closest among common scalings of the widths and, if need be, small changes of single stages."""
    best = _closest([model, *_scalings(model, ratio)], ratio)
    for stage in reversed(range(len(model.widths))):
        if abs(ratio(best) - 1) > TOLERANCE:
            best = _closest([best, *_adjusted(best, stage)], ratio)
    return best


def _scalings(model: ModelConfig, ratio: Callable[[ModelConfig], float]) -> list[ModelConfig]:
    """Return ``model`` with all widths scaled by factors that approach ratio 1; MACs go roughly with their square."""
    factor, scalings = 1.0, list[ModelConfig]()
    for _ in range(5):
        factor /= math.sqrt(ratio(scalings[-1] if scalings else model))
        scalings.append(replace(model, widths=tuple(max(1, round(width * factor)) for width in model.widths)))
    return scalings


def _adjusted(model: ModelConfig, stage: int) -> list[ModelConfig]:
    """Return ``model`` with up to two channels more or less in one stage."""
    widths = model.widths
    return [
        replace(model, widths=(*widths[:stage], widths[stage] + change, *widths[stage + 1 :]))
        for change in (-2, -1, 1, 2)
        if widths[stage] + change >= 1
    ]


def _closest(models: Sequence[ModelConfig], ratio: Callable[[ModelConfig], float]) -> ModelConfig:
    return min(models, key=lambda model: abs(ratio(model) - 1))
