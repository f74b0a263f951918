"""A finished run in the form of other tools: weights by name, a network in PyTorch, an ONNX model, a serialised program."""

from strideflax.export.targets import TARGETS, Target, export_run
from strideflax.export.weights import describe, named_weights

__all__ = ["TARGETS", "Target", "describe", "export_run", "named_weights"]
