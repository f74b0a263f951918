"""Any Flax NNX network, read from a trace: which layers are called with what, and what each of them computes."""

from strideflax.tracing.recorder import Call, ModelCall, Trace, call_model, trace
from strideflax.tracing.steps import Step

__all__ = ["Call", "ModelCall", "Step", "Trace", "call_model", "trace"]
