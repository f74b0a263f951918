import jax.numpy as jnp
import numpy as np

from strideflax.config import OptimizerConfig
from strideflax.training.optimizer import decay_mask, learning_rate_schedule, make_optimizer, moving_average


def config(**changes) -> OptimizerConfig:
    values = {
        "name": "sgd",
        "schedule": "constant",
        "learning_rate": 0.1,
        "warmup_epochs": 0.0,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "label_smoothing": 0.0,
        "clip_norm": None,
    }
    return OptimizerConfig(**values | changes)


def rates(steps, **changes):
    schedule = learning_rate_schedule(config(**changes), steps_per_epoch=10, total_steps=40)
    return [float(schedule(step)) for step in steps]


def test_one_cycle_is_two_straight_lines():
    found = rates([0, 5, 10, 25, 40], schedule="one_cycle", warmup_epochs=1.0, learning_rate=0.2)
    np.testing.assert_allclose(found, [0, 0.1, 0.2, 0.1, 0], atol=1e-7)


def test_cosine_falls_by_half_a_cosine_after_the_warm_up():
    found = rates([0, 10, 20, 25, 40], schedule="cosine", warmup_epochs=1.0, learning_rate=0.2)
    np.testing.assert_allclose(found, [0, 0.2, 0.15, 0.1, 0], atol=1e-7)


def test_constant_stays_at_the_peak():
    np.testing.assert_allclose(rates([0, 40], learning_rate=0.3), [0.3, 0.3])


def test_a_warm_up_over_the_whole_run_reaches_the_peak_at_its_end():
    np.testing.assert_allclose(rates([20, 40], schedule="one_cycle", warmup_epochs=4.0), [0.05, 0.1], atol=1e-8)


def follow(optimizer_config, gradients, start):
    """Return where a kernel goes under a list of gradients."""
    optimizer = make_optimizer(optimizer_config, lambda step: optimizer_config.learning_rate)
    params = {"kernel": jnp.asarray(start)}
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update({"kernel": jnp.asarray(gradient)}, state, params)
        params = {"kernel": params["kernel"] + updates["kernel"]}
    return np.asarray(params["kernel"])


def test_sgd_is_nesterov_with_decoupled_decay():
    gradients = [np.array([[1.0, -2.0]], np.float32), np.array([[0.5, 0.5]], np.float32)]
    w, velocity = np.array([[1.0, 1.0]]), 0.0
    for gradient in gradients:
        velocity = 0.9 * velocity + gradient
        w = w - 0.1 * (gradient + 0.9 * velocity + 0.01 * w)
    found = follow(config(weight_decay=0.01), gradients, np.ones((1, 2), np.float32))
    np.testing.assert_allclose(found, w, rtol=1e-6)


def test_adamw_first_step_is_the_sign_of_the_gradient_plus_decay():
    found = follow(
        config(name="adamw", weight_decay=0.5), [np.array([[3.0, -7.0]], np.float32)], np.ones((1, 2), np.float32)
    )
    np.testing.assert_allclose(found, [[1 - 0.1 * (1 + 0.5), 1 - 0.1 * (-1 + 0.5)]], rtol=1e-5)


def test_clipping_limits_the_gradient_norm():
    found = follow(
        config(momentum=0.0, clip_norm=1.0), [np.array([[3.0, 4.0]], np.float32)], np.zeros((1, 2), np.float32)
    )
    np.testing.assert_allclose(found, [[-0.06, -0.08]], rtol=1e-6)


def test_the_average_is_the_plain_mean_at_first_and_then_forgets():
    values = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    average, expected = {"kernel": jnp.full(3, np.float32(7))}, None
    for step, value in enumerate(values):
        average = moving_average(average, {"kernel": jnp.asarray(value)}, jnp.int32(step), 0.8)
        mean_so_far = values[: step + 1].astype(np.float64).mean(0)
        expected = mean_so_far if step < 5 else 0.8 * expected + 0.2 * value
        np.testing.assert_allclose(average["kernel"], expected, rtol=1e-5)


def test_only_kernels_decay(tiny):
    import jax
    from flax import nnx

    from strideflax.model import abstract_model

    _, params, _ = nnx.split(abstract_model(tiny(**{"model.downsample": "gated_pool"}).model), nnx.Param, ...)
    decays = {
        jax.tree_util.keystr(path): decays for path, decays in jax.tree_util.tree_leaves_with_path(decay_mask(params))
    }
    kept = {name for name, decay in decays.items() if not decay}
    assert all("kernel" in name for name, decay in decays.items() if decay)
    assert sum(decays.values()) == 1 + 2 * 2 + 1 + 1, "stem, two blocks of two, one shortcut, head"
    assert any("mask" in name for name in kept), "an operator's own parameters do not decay, whatever their shape"
    assert any("scale" in name for name in kept)
    assert any("bias" in name for name in kept)
