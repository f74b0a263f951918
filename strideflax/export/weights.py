"""A finished run as arrays by name, with what is needed to use them without the run's folder or its images.

The names are the paths in the model (`strideflax.model.MiniResNet`), joined by dots: ``blocks.1.reduction.layers.0.kernel``.
"""

import io
import json

import jax
import numpy as np
from flax import nnx

from strideflax.training.monitoring import require_extra
from strideflax.training.result import FinishedRun

DESCRIPTION = "description"  # the entry of an npz file that holds what `describe` returns, as JSON


def named_weights(run: FinishedRun) -> dict[str, np.ndarray]:
    """Return the parameters and the running statistics of the run's model, float32, by their path in it.

    The kernel of a convolution is ``[rows, columns, in, out]``, that of the classifier ``[in, out]``.
    """
    weights = {}
    for path, leaf in nnx.to_flat_state(nnx.state(run.model, nnx.Any(nnx.Param, nnx.BatchStat))):
        weights[".".join(map(str, path))] = np.array(jax.device_get(leaf[...]), order="C")
    return weights


def describe(run: FinishedRun) -> dict[str, str]:
    """Return what belongs to the weights, each value as JSON.

    ``model`` is the network's configuration; ``image_shape`` height, width and channels; ``classes`` their names in the order
    of the logits; ``mean`` and ``std`` those of the training pixels / 255, per channel. The rest says where they come from.
    """
    dataset = run.result.dataset or {}
    values = {
        "model": run.config.to_dict()["model"],
        "image_shape": run.image_shape,
        "classes": run.classes,
        "mean": run.mean,
        "std": run.std,
        "dataset": dataset.get("name"),
        "test_accuracy": run.result.test_accuracy,
        "config_fingerprint": run.config.fingerprint,
        "versions": run.result.versions,
    }
    return {name: json.dumps(value) for name, value in values.items()}


def to_npz(run: FinishedRun) -> dict[str, bytes]:
    """Return ``weights.npz``: an array per name, and `describe` as JSON in the entry ``description``."""
    file = io.BytesIO()
    np.savez(file, **{DESCRIPTION: np.array(json.dumps(describe(run)))}, **named_weights(run))  # type: ignore[arg-type]
    return {"weights.npz": file.getvalue()}


def to_safetensors(run: FinishedRun) -> dict[str, bytes]:
    """Return ``weights.safetensors``: a tensor per name, and `describe` as the file's metadata.

    Raises:
        UserError: the package safetensors is not installed.
    """
    save = require_extra("safetensors.numpy", "export", "export").save
    return {"weights.safetensors": save(named_weights(run), metadata=describe(run))}
