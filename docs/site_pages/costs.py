"""What an operator costs in the baseline network, counted and not measured."""

import functools
from dataclasses import dataclass

from configs.baseline import baseline
from strideflax.config import Config
from strideflax.inspection import inspect_model
from strideflax.model import abstract_model
from strideflax.operators.table import downsampler


@dataclass(frozen=True)
class Cost:
    """Multiply-adds and parameters of the whole network over those of the strided one."""

    place: str
    macs: float
    params: float


def costs_of(name: str) -> list[Cost]:
    """Return what the baseline network costs with the operator in each place that it can take."""
    places = ("after",) if downsampler(name).convolves else ("after", "before")
    strided_macs, strided_params = _counts("strided_conv", "after")
    costs = []
    for place in places:
        macs, params = _counts(name, place)
        costs.append(Cost(place, macs / strided_macs, params / strided_params))
    return costs


def short_cost(name: str) -> str:
    """Return the multiply-adds after and before the convolution, e.g. ``1.56 / 1.00``."""
    return " / ".join(f"{cost.macs:.2f}" for cost in costs_of(name))


@functools.cache
def _counts(name: str, place: str) -> tuple[int, int]:
    config = baseline()
    config.model.downsample = name
    config.model.placement = place
    found = inspect_model(abstract_model(Config.from_dict(config.to_dict()).model))
    return found.macs, found.params
