"""Cost of a model on this device: compile seconds, latency, images per second, peak memory."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from strideflax.config import Config
from strideflax.data.dataset import Dataset
from strideflax.measuring.functions import Progress
from strideflax.measuring.subject import Subject
from strideflax.measuring.timing import REPEATS, WARMUP, call_seconds, compile_call, peak_memory, spread
from strideflax.training.optimizer import learning_rate_schedule, make_optimizer
from strideflax.training.step import Pixels, initial_state, make_train_step, model_structure


def inference_cost(predict: Partial, images: np.ndarray, *, repeats: int = REPEATS) -> dict[str, Any]:
    """Return compile seconds, latency and images per second of ``predict`` on the batch ``images`` (uint8)."""
    batch = jax.device_put(images)
    compiled, seconds = compile_call(lambda function, batch: function(batch), predict, batch)
    latency = spread(call_seconds(lambda: compiled(predict, batch), repeats=repeats))
    return {
        "batch_size": len(images),
        "compile_seconds": seconds,
        **latency,
        "images_per_second": len(images) / latency["median_ms"] * 1000,
    }


def training_cost(config: Config, dataset: Dataset, *, repeats: int = REPEATS) -> dict[str, Any]:
    """Return compile seconds, time and images per second of the run's own training step, and its peak memory.

    The step is the whole one: augmentation, forward, backward, optimizer, on one device, from initial weights.
    """
    schedule = learning_rate_schedule(config.optimizer, 1, repeats)
    optimizer = make_optimizer(config.optimizer, schedule)
    key = jax.random.key(config.seed)
    state = jax.jit(lambda key: initial_state(config, optimizer, key))(key)
    split = Pixels(*(jnp.asarray(part[: config.batch_size]) for part in (dataset.train.images, dataset.train.labels)))
    order = jnp.arange(config.batch_size)
    step = make_train_step(config, model_structure(config), optimizer, dataset.mean, dataset.std)
    compiled, seconds = compile_call(step, state, split, order, key, donate_argnums=0)

    def call() -> Any:
        nonlocal state
        state = compiled(state, split, order, key)
        return state

    times = spread(call_seconds(call, repeats=repeats))
    return {
        "batch_size": config.batch_size,
        "compile_seconds": seconds,
        **times,
        "images_per_second": config.batch_size / times["median_ms"] * 1000,
        "peak_memory": peak_memory(compiled, jax.devices()[0]),
    }


def measure(subject: Subject, progress: Progress) -> dict[str, Any]:
    """Measure a run's net at batch 1 and at its training batch, and its training step."""
    config, dataset = subject.run.config, subject.dataset
    result: dict[str, Any] = {
        "protocol": f"compiled ahead of time, {WARMUP} warm-up calls, {REPEATS} calls blocked until ready, median and "
        "quartiles, images already on the device; training: augmentation, forward, backward, optimizer; one device",
        "inference_batch_1": inference_cost(subject.predict, dataset.test.images[:1]),
    }
    progress(1, 3)
    result["inference"] = inference_cost(subject.predict, dataset.train.images[: config.batch_size])
    progress(2, 3)
    result["training"] = training_cost(config, dataset)
    progress(3, 3)
    return result
