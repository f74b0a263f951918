"""Cost on this device: compile seconds, latency, images per second and peak memory of a model or of one operator."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from strideflax.config import Config
from strideflax.data import Dataset, Split
from strideflax.inspection import count_params
from strideflax.measuring.batches import ImageFunction, Progress, as_pytree, in_evaluation
from strideflax.measuring.checks import check_count, check_images
from strideflax.measuring.predictor import predictor
from strideflax.measuring.subject import Subject
from strideflax.measuring.timing import REPEATS, WARMUP, call_seconds, compile_call, peak_memory, spread
from strideflax.operators.table import downsampler
from strideflax.programs import Program
from strideflax.tracing import trace
from strideflax.training.optimizer import learning_rate_schedule, make_optimizer
from strideflax.training.step import Pixels, initial_state, make_train_step, model_structure


def inference_cost(predict: ImageFunction, images: np.ndarray, *, repeats: int = REPEATS) -> dict[str, Any]:
    """Return the compile seconds, latency and images per second of ``predict`` on one batch.

    Args:
        predict: images ``[batch, height, width, channels]`` -> logits, a traceable JAX function.
        images: the batch, of the type that ``predict`` takes.
        repeats: timed calls.

    Returns:
        ``batch_size``, ``compile_seconds``, ``median_ms``, ``low_quartile_ms``, ``high_quartile_ms`` and
        ``images_per_second`` (of the median).

    Raises:
        ValueError: no images, an array that is not four-dimensional, or no repeats.
    """
    check_images(images)
    check_count("repeats", repeats)
    function, batch = as_pytree(predict), jax.device_put(images)
    compiled, seconds = compile_call(lambda function, batch: function(batch), function, batch)
    times = spread(call_seconds(lambda: compiled(function, batch), repeats=repeats))
    return _timed_batch(len(images), seconds, times)


def cost(predict: ImageFunction, images: np.ndarray, *, repeats: int = REPEATS) -> dict[str, Any]:
    """Return what ``predict`` costs on one batch: `inference_cost`, and ``macs``, multiply-adds of one image.

    The multiply-adds are counted in a trace, as `strideflax.inspect` counts them. Arguments and errors as `inference_cost`.
    """
    check_images(images)
    batch = jax.ShapeDtypeStruct(np.shape(images), np.asarray(images).dtype)
    return {**inference_cost(predict, images, repeats=repeats), "macs": trace(in_evaluation(predict), batch).macs}


def training_cost(config: Config, dataset: Dataset, *, repeats: int = REPEATS) -> dict[str, Any]:
    """Return the compile seconds, time and images per second of the run's own training step, and its peak memory.

    The step is the whole one: augmentation, forward, backward, optimizer, on one device, from initial weights.

    Args:
        config: of the run.
        dataset: its first training images make the batch, more than once if there are fewer.
        repeats: timed calls.

    Returns:
        As `inference_cost`, with ``peak_memory``: ``bytes`` and their ``source``.
    """
    schedule = learning_rate_schedule(config.optimizer, 1, repeats)
    optimizer = make_optimizer(config.optimizer, schedule)
    key = jax.random.key(config.seed)
    state = Program(lambda key: initial_state(config, optimizer, key, **dataset.model_arguments))(key)
    batch = _first(dataset.train, config.batch_size)
    pixels = Pixels(jnp.asarray(batch.images), jnp.asarray(batch.labels))
    order = jnp.arange(config.batch_size)
    graph = model_structure(config, **dataset.model_arguments)
    step = make_train_step(config, graph, optimizer, dataset.mean, dataset.std)
    compiled, seconds = compile_call(step, state, pixels, order, key, donate_argnums=0)

    def call() -> Any:
        nonlocal state
        state = compiled(state, pixels, order, key)
        return state

    times = spread(call_seconds(call, repeats=repeats))
    peak = peak_memory(compiled, jax.devices()[0])
    return {**_timed_batch(config.batch_size, seconds, times), "peak_memory": peak}


def _timed_batch(batch_size: int, compile_seconds: float, times: dict[str, float]) -> dict[str, Any]:
    return {
        "batch_size": batch_size,
        "compile_seconds": compile_seconds,
        **times,
        "images_per_second": batch_size / times["median_ms"] * 1000,
    }


def _first(split: Split, count: int) -> Split:
    """Return ``count`` images of ``split`` from its beginning, and from there again if it has fewer."""
    return split.take(np.arange(count) % len(split))


def operator_cost(name: str, shape: Sequence[int], *, stride: int = 2, repeats: int = REPEATS) -> dict[str, Any]:
    """Return the times of the operator ``name`` with its default window on one random batch.

    Forward is evaluation. Forward with backward is training, with the gradient of the input and of what is learned. The
    choice of the phase counts, where the operator makes one. An operator that convolves keeps the number of channels.

    Args:
        name: of `strideflax.DOWNSAMPLERS`.
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
    return {
        "operator": name,
        "output_shape": list(output.shape),
        "params": count_params(operator),
        "forward": _call_cost(forward, params, x, repeats=repeats),
        "forward_backward": _call_cost(forward_backward, params, x, cotangent, repeats=repeats),
    }


def _call_cost(function: Any, *arguments: Any, repeats: int) -> dict[str, float]:
    compiled, seconds = compile_call(function, *arguments)
    times = call_seconds(lambda: compiled(*arguments), repeats=repeats)
    return {"compile_seconds": seconds, **spread(times)}


def _images_to_time(subject: Subject) -> Dataset:
    """Return embedded images of the run's size; with empty masks, if the run's images have masks."""
    shapes = subject.shapes
    if not subject.run.config.data.has_masks:
        return shapes
    images = shapes.train.images
    train = Split(images, np.zeros(images.shape[:-1], np.uint8))
    return replace(shapes, train=train)


def measure(subject: Subject, progress: Progress) -> dict[str, Any]:
    """Measure a run's net at batch 1 and at its training batch, and its training step.

    The images are embedded ones of the run's size, as their pixels do not change the time.
    """
    config, shapes = subject.run.config, _images_to_time(subject)
    predict = predictor(subject.run.model, shapes.mean, shapes.std)
    result: dict[str, Any] = {
        "protocol": f"compiled ahead of time, {WARMUP} warm-up calls, {REPEATS} calls blocked until ready, median and "
        "quartiles, images already on the device; training: augmentation, forward, backward, optimizer; one device",
        "inference_batch_1": inference_cost(predict, shapes.test.images[:1]),
    }
    progress(1, 3)
    result["inference"] = inference_cost(predict, _first(shapes.train, config.batch_size).images)
    progress(2, 3)
    classes = subject.run.model.head.out_features
    result["training"] = training_cost(config, replace(shapes, classes=tuple(map(str, range(classes)))))
    progress(3, 3)
    return result
