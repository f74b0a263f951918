"""Cost of one downsampling operator alone: forward, and forward with backward."""

from collections.abc import Sequence
from typing import Any

import jax
from flax import nnx
from jax import Array

from strideflax.inspection import count_params
from strideflax.measuring.timing import REPEATS, call_seconds, compile_call, spread
from strideflax.operators.table import downsampler


def operator_cost(name: str, shape: Sequence[int], *, stride: int = 2, repeats: int = REPEATS) -> dict[str, Any]:
    """Return the times of the operator ``name`` with its default window on one random batch.

    Forward is evaluation; forward with backward is training, with the gradient of the input and of what is learned. The
    choice of the phase counts, where the operator makes one. An operator that convolves keeps the number of channels.

    Args:
        name: of `strideflax.operators.table.DOWNSAMPLERS`.
        shape: batch, height, width, channels, float32.
        stride: of the operator.
        repeats: timed calls.

    Returns:
        ``operator``, ``output_shape``, ``params``, and ``forward`` and ``forward_backward``, each with
        ``compile_seconds``, ``median_ms`` and quartiles.

    Raises:
        ValueError: an unknown operator, or a map that it can't take.
    """
    operator = downsampler(name)(shape[-1], stride=stride, rngs=nnx.Rngs(0))
    graph, params, rest = nnx.split(operator, nnx.Param, ...)  # type: ignore[misc]
    key = jax.random.key(0)
    x = jax.random.normal(key, tuple(shape))

    def forward(params: Any, x: Array, *, train: bool = False) -> Array:
        layer = nnx.merge(graph, params, rest, copy=True)
        return layer(x, train=train, key=key, index=layer.select(x))

    def forward_backward(params: Any, x: Array, cotangent: Array) -> tuple[Array, Any]:
        y, pull = jax.vjp(lambda params, x: forward(params, x, train=True), params, x)
        return y, pull(cotangent)

    output = jax.eval_shape(forward, params, x)
    cotangent = jax.random.normal(jax.random.key(1), output.shape)
    row: dict[str, Any] = {"operator": name, "output_shape": list(output.shape), "params": count_params(operator)}
    for label, function, arguments in (
        ("forward", forward, (params, x)),
        ("forward_backward", forward_backward, (params, x, cotangent)),
    ):
        compiled, seconds = compile_call(function, *arguments)
        times = call_seconds(lambda: compiled(*arguments), repeats=repeats)  # noqa: B023, called at once
        row[label] = {"compile_seconds": seconds, **spread(times)}
    return row
