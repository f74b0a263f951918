"""Look at a network without running it: shapes, receptive fields, parameters, MACs, and whether its paths align."""

from strideflax.inspection.count import InputSizeError, count_macs, count_params, inspect_model
from strideflax.inspection.record import CONVENTIONS, Alignment, Inspection, Layer

__all__ = [
    "CONVENTIONS",
    "Alignment",
    "InputSizeError",
    "Inspection",
    "Layer",
    "count_macs",
    "count_params",
    "inspect_model",
]
