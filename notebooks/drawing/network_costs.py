"""The mini-ResNet of 32 x 32 pixels with its strides in other places: what each part costs."""

from collections.abc import Sequence
from dataclasses import replace

from strideflax.inspection import Inspection, inspect_model
from strideflax.model import abstract_model
from strideflax.model.config import ModelConfig, StemConfig

SIDE = 32


def inspect_strides(stem: int, stages: Sequence[int]) -> Inspection:
    """Return what is counted of the baseline's net with these strides."""
    usual = ModelConfig()
    return inspect_model(abstract_model(replace(usual, stem=StemConfig(stride=stem), strides=tuple(stages))), SIDE)


def macs_by_part(inspection: Inspection) -> dict[str, int]:
    """Return the multiply-adds of the stem, of each stage and of the classifier."""
    parts: dict[str, int] = {}
    for layer in inspection.layers:
        first = layer.name.split("/")[0]
        part = first if first.startswith(("stem", "stage")) else "classifier"
        parts[part] = parts.get(part, 0) + layer.macs
    return parts
