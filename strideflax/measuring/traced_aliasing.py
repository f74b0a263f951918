"""Aliasing wherever any network downsamples: found in its trace, whoever wrote it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from strideflax.measuring.aliasing import alias_energies, site_aliasing
from strideflax.measuring.batches import ImageFunction, in_evaluation
from strideflax.measuring.checks import check_count, check_function, check_images
from strideflax.measuring.interpreter import compute
from strideflax.measuring.sites import operator_sites
from strideflax.programs import Program
from strideflax.tracing import trace
from strideflax.tracing.steps import Step, step_of

BATCH_SIZE = 64


def aliasing(predict: ImageFunction, images: np.ndarray, *, batch_size: int = BATCH_SIZE) -> dict[str, dict[str, Any]]:
    """Return the share of folded high frequencies in what each strided convolution, pool and slice of a net keeps.

    Args:
        predict: images ``[batch, height, width, channels]`` -> anything, a traceable JAX function or a Flax NNX module.
        images: ``[n, height, width, channels]`` of the type that ``predict`` takes.
        batch_size: images at once; what is left over of a whole number of batches is left out, unless there is only one.

    Returns:
        By place, a number and the layer or line of code: ``layer`` such as "conv 3×3 /2", ``stride``, and ``alias_energy``,
        ``||D x - D L x||^2 / ||D x||^2`` with x the map at full resolution, D the subsampling and L the ideal low-pass,
        summed over images and channels; None where nothing passes.

    Raises:
        ValueError: no images, an array that is not four-dimensional, or a batch size under 1.
    """
    check_images(images)
    check_count("batch_size", batch_size)
    check_function(predict)
    predict = in_evaluation(predict)
    size = min(batch_size, len(images))
    batches = [jnp.asarray(images[start : start + size]) for start in range(0, len(images) - size + 1, size)]
    traced = trace(predict, jax.ShapeDtypeStruct(batches[0].shape, batches[0].dtype))
    steps: dict[str, Step] = {}

    @Program
    def energies(weights: tuple[Array, ...], batch: Array) -> dict[str, tuple[Array, Array]]:
        found: dict[str, tuple[Array, Array]] = {}

        def visit(equation: Any, operands: list[Any], scopes: tuple[str, ...]) -> None:
            step = step_of(equation, scopes)
            if step is None or not step.downsamples or len(step.output) != 4 or traced.operators.keys() & set(scopes):
                return
            name = _unused(step.source if traced.layer_of(step) == "model" else traced.layer_of(step), found)
            steps[name] = step
            found[name] = alias_energies(dense_map(equation, operands).astype(jnp.float32), step.stride)

        compute(traced.program, [*weights, batch], visit)
        return found

    of_batches = [jax.device_get(energies(traced.arguments, batch)) for batch in batches]
    sites = {}
    for name, step in steps.items():
        alias, whole = (sum(float(found[name][i]) for found in of_batches) for i in (0, 1))
        sites[name] = {
            "layer": step.words,
            "stride": list(step.stride),
            "alias_energy": alias / whole if whole else None,
        }
    return sites | _operators(predict, batches)


def _unused(name: str, found: dict[str, Any]) -> str:
    """Return ``name``, or with a number if there is one of that name: a shared layer is called more than once."""
    number = 1
    while (numbered := name if number == 1 else f"{name} ({number})") in found:
        number += 1
    return numbered


def dense_map(equation: Any, operands: list[Any]) -> Array:
    """Return the map of which a strided equation keeps every ``stride``-th pixel, ``[batch, height, width, channels]``."""
    if equation.primitive.name == "slice":
        return operands[0]
    params = {**equation.params, "window_strides": (1,) * len(equation.params["window_strides"])}
    y = equation.primitive.bind(*operands, **params)
    if equation.primitive.name != "conv_general_dilated":
        return y
    batch, channels, *space = equation.params["dimension_numbers"].out_spec
    return jnp.transpose(y, (batch, *space, channels))


def _operators(model: Any, batches: list[Array]) -> dict[str, dict[str, Any]]:
    """Return the alias energy of what operators of strideflax keep, which are no single equation."""
    if not isinstance(model, nnx.Module) or not operator_sites(model):
        return {}
    sites = {}
    for name, site in site_aliasing(model, batches).items():
        sites[name] = {"layer": site["operator"], "stride": site["stride"], "alias_energy": site["alias_energy"]}
    return sites
