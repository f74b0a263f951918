"""A finished run as one serialised program, normalisation and weights within, for any number of images."""

import jax
import jax.numpy as jnp
from jax import export

from strideflax.measuring.predictor import predictor
from strideflax.training.monitoring import require_extra
from strideflax.training.result import FinishedRun

PLATFORMS = ("cpu", "cuda", "tpu")


def to_jax(run: FinishedRun) -> dict[str, bytes]:
    """Return ``program.jax``, for ``jax.export.deserialize``: images uint8 ``[batch, height, width, channels]`` -> logits.

    It uses XLA alone, on any of `PLATFORMS`, and computes in the type in which the run was trained.

    Raises:
        UserError: the package flatbuffers is not installed.
    """
    require_extra("flatbuffers", "export", "export")
    predict = predictor(run.model, run.mean, run.std)
    (batch,) = export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, *run.image_shape), jnp.uint8)
    program = export.export(jax.jit(predict), platforms=PLATFORMS)(images)
    return {"program.jax": bytes(program.serialize())}
