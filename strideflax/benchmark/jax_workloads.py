"""The workloads in JAX: strideflax's own training step and operators, compiled ahead of time."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from strideflax.benchmark import workloads
from strideflax.benchmark.contenders import Contender, Prepared
from strideflax.benchmark.workloads import Increment, OperatorCall, Product, Step, Workload
from strideflax.config import Config
from strideflax.data.augment import normalize
from strideflax.environment import describe_device, versions
from strideflax.inspection import count_params, inspect_model
from strideflax.kernels import onednn
from strideflax.measuring.timing import compile_call
from strideflax.model import abstract_model
from strideflax.operators.blur import blur_pool
from strideflax.operators.conv import conv
from strideflax.operators.pool import avg_pool, max_pool
from strideflax.programs import Program, is_deterministic
from strideflax.training.optimizer import learning_rate_schedule, make_optimizer
from strideflax.training.step import (
    Pixels,
    TrainState,
    data_sharding,
    initial_state,
    make_train_step,
    model_structure,
    repeat_step,
)


def describe(contender: Contender) -> dict[str, Any]:
    """Return the device, how many, the versions, and which library "auto" convolutions may run in besides XLA."""
    about = {"device": describe_device(), "device_count": jax.device_count(), "platform": jax.default_backend()}
    return {**about, "versions": versions(), "onednn": onednn.version()}


def prepare(workload: Workload, contender: Contender, weights: Path) -> Prepared:
    """Return ``workload`` compiled; a step's initial weights are stored in ``weights`` for the others."""
    if isinstance(workload, Step):
        prepared = _step(workload, weights)
    elif isinstance(workload, OperatorCall):
        prepared = _operator(workload)
    else:
        prepared = _product(workload) if isinstance(workload, Product) else _increment(workload)
    prepared.facts.update(_arithmetic(workload.dtype))
    return prepared


# What XLA computes a float32 product in, unless `jax_default_matmul_precision` asks for more.
FLOAT32_ARITHMETIC = {"gpu": "tf32", "tpu": "bfloat16"}


def _arithmetic(dtype: str) -> dict[str, Any]:
    """Return how a product of that type is computed, and whether it gives the same bits each time."""
    is_exact = dtype != "float32" or jax.config.values["jax_default_matmul_precision"] in ("highest", "float32")
    arithmetic = dtype if is_exact else FLOAT32_ARITHMETIC.get(jax.default_backend(), dtype)
    return {"arithmetic": arithmetic, "deterministic": is_deterministic() is not False}


def _step(workload: Step, weights: Path) -> Prepared:
    config = Config.from_dict(workload.config)
    optimizer = make_optimizer(config.optimizer, learning_rate_schedule(config.optimizer, 1, 1))
    graph, split = model_structure(config), workload.images()
    sharding, replicated = data_sharding(config.batch_size)
    keys = jnp.stack([jax.random.key(config.seed + n) for n in range(workload.seeds)])
    orders = np.tile(np.arange(len(split)), (workload.seeds, 1))  # one per seed, as in runs
    states = Program(jax.vmap(partial(initial_state, config, optimizer)), out_shardings=replicated)(keys)
    first = jax.tree.map(lambda leaf: leaf[0], states)
    _store_weights(first, weights)

    @Program
    def predict(params: Any, stats: Any, images: Array) -> Array:
        return nnx.merge(graph, params, stats)(normalize(images, workloads.MEAN, workloads.STD))

    model = abstract_model(config.model)
    layers = inspect_model(model, workload.size).layers
    facts = {
        "params": count_params(model),
        "macs": sum(layer.macs for layer in layers if layer.operator in ("conv", "strided_conv", "linear")),
        "logits": np.asarray(predict(first.params, first.stats, split.images[: workloads.CHECKED_IMAGES])).tolist(),
    }
    step = repeat_step(
        make_train_step(config, graph, optimizer, workloads.MEAN, workloads.STD, sharding), workload.steps
    )
    if workload.seeds > 1:
        step, state, order, key = jax.vmap(step, in_axes=(0, None, 0, 0)), states, orders, keys
    else:
        state, order, key = first, orders[0], keys[0]
    train, order, key = jax.device_put(
        (Pixels(*map(jnp.asarray, (split.images, split.labels))), order, key), replicated
    )
    compiled, seconds = compile_call(step, state, train, order, key, donate_argnums=0, out_shardings=replicated)

    def call() -> None:
        nonlocal state
        state = jax.block_until_ready(compiled(state, train, order, key))

    for _ in range(workloads.CHECKED_STEPS):
        call()
    return Prepared(call, {**facts, "loss_sum": float(state.loss_sum.sum())}, seconds)


def _store_weights(state: TrainState, path: Path) -> None:
    leaves = [*nnx.to_flat_state(state.params), *nnx.to_flat_state(state.stats)]
    arrays: dict[str, Any] = {".".join(map(str, parts)): np.asarray(leaf[...]) for parts, leaf in leaves}
    np.savez(path, **arrays)


def forward_of(workload: OperatorCall) -> Callable[[Array, Array], Array]:
    """Return the operator as a function of its input and, if it is a convolution, its kernel."""
    window, stride, padding = workload.window, workload.stride, workload.padding
    if workload.operator == "conv":
        dilation, groups = workload.dilation, workload.groups
        return lambda x, kernel: conv(x, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups)
    if workload.operator == "conv_transpose":
        return partial(_transposed, workload)
    pools: dict[str, Callable[..., Array]] = {"max_pool": max_pool, "avg_pool": avg_pool, "blur_pool": blur_pool}
    pool = pools[workload.operator]
    return lambda x, kernel: pool(x, window, stride=stride, padding=padding)


def _transposed(workload: OperatorCall, x: Array, kernel: Array) -> Array:
    """Return the transpose of the convolution that would give ``x``: the gradient of its input."""

    def down(large: Array) -> Array:
        return conv(large, kernel, stride=workload.stride, padding=workload.padding)

    return jax.linear_transpose(down, jax.ShapeDtypeStruct(workload.output_shape, x.dtype))(x)[0]


def _operator(workload: OperatorCall) -> Prepared:
    x, kernel, cotangent = (jnp.asarray(array, workload.dtype) for array in workload.arrays())
    forward = forward_of(workload)

    def forward_backward(x: Array, kernel: Array, cotangent: Array) -> tuple[Array, ...]:
        y, pull = jax.vjp(forward, x, kernel)
        dx, dkernel = pull(cotangent)
        results = [y]
        if workload.input_gradient:
            results.append(dx)
        if workload.has_kernel:
            results.append(dkernel)
        return tuple(results)

    if workload.backward:
        arguments: tuple[Array, ...] = (x, kernel, cotangent)
        compiled, seconds = compile_call(forward_backward, *arguments)
    else:
        arguments = (x, kernel)
        compiled, seconds = compile_call(lambda x, kernel: (forward(x, kernel),), *arguments)

    def call() -> tuple[Array, ...]:
        return jax.block_until_ready(compiled(*arguments))

    return Prepared(call, workloads.results_of(call()), seconds)


def _product(workload: Product) -> Prepared:
    first, second = (jnp.asarray(array, workload.dtype) for array in workload.arrays())
    compiled, seconds = compile_call(jnp.matmul, first, second)
    facts = workloads.results_of([compiled(first, second)[: workloads.CHECKED_ROWS]])
    return Prepared(lambda: jax.block_until_ready(compiled(first, second)), facts, seconds)


def _increment(workload: Increment) -> Prepared:
    numbers = jnp.asarray(workload.array(), workload.dtype)
    compiled, seconds = compile_call(lambda x: x + 1, numbers, donate_argnums=0)

    def call() -> None:
        nonlocal numbers
        numbers = jax.block_until_ready(compiled(numbers))

    call()
    return Prepared(call, workloads.results_of([numbers[: workloads.CHECKED_NUMBERS]]), seconds)
