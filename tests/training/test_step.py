import jax
import jax.numpy as jnp
import numpy as np
import pytest

from strideflax.tasks import TASKS
from strideflax.tasks.classify import smoothed_cross_entropy
from strideflax.training.checkpoint import Checkpoints
from strideflax.training.optimizer import learning_rate_schedule, make_optimizer
from strideflax.training.step import (
    Averaged,
    Pixels,
    data_sharding,
    epoch_order,
    evaluate,
    initial_state,
    make_eval_step,
    make_train_step,
    model_structure,
)

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


@pytest.fixture(scope="module")
def split() -> Pixels:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (70, 16, 16, 3), np.uint8)
    return Pixels(jnp.asarray(images), jnp.asarray(random.integers(0, 10, 70, np.int32)))


@pytest.fixture(scope="module")
def parts(tiny):
    config = tiny()
    optimizer = make_optimizer(config.optimizer, learning_rate_schedule(config.optimizer, 2, 6))
    return config, optimizer, model_structure(config), initial_state(config, optimizer, jax.random.key(0))


def test_smoothing_spreads_its_share_over_all_classes():
    logits, labels = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 3.0]]), np.array([0, 1])
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    targets = 0.7 * np.eye(3)[labels] + 0.3 / 3
    expected = -(targets * log_probabilities).sum(-1)
    found = smoothed_cross_entropy(jnp.asarray(logits, jnp.float32), jnp.asarray(labels), 0.3)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_evaluation_counts_every_image_once_whatever_the_batch(parts, split):
    _, _, graph, state = parts
    task, results = TASKS["classify"], []
    for size in (70, 32, 1 + 70):
        results.append(evaluate(task, jax.jit(make_eval_step(task, graph, size, MEAN, STD)), state, split, size))
    for found in results:
        assert found.loss == pytest.approx(results[0].loss, rel=1e-5)
        assert found.accuracy == results[0].accuracy
        for counts, first in zip(found.by_class, results[0].by_class, strict=True):
            np.testing.assert_array_equal(counts, first)
        assert found.by_class.images.sum() == found.by_class.predicted.sum() == 70
        assert found.by_class.correct.sum() == round(70 * found.accuracy)


def test_a_step_counts_itself_moves_every_parameter_and_the_statistics(parts, split):
    config, optimizer, graph, state = parts
    step = jax.jit(make_train_step(config, graph, optimizer, MEAN, STD))
    order = epoch_order(jax.random.key(0), 0, 70)
    after = step(step(state, split, order, jax.random.key(0)), split, order, jax.random.key(0))
    assert int(after.step) == 2
    assert float(after.loss_sum) > 0
    for before, now in zip(jax.tree.leaves(state.params), jax.tree.leaves(after.params), strict=True):
        assert np.isfinite(np.asarray(now)).all()
        assert not np.array_equal(before, now)
    for before, now in zip(jax.tree.leaves(state.stats), jax.tree.leaves(after.stats), strict=True):
        assert not np.array_equal(before, now)


def test_the_step_depends_on_its_key_and_on_nothing_hidden(parts, split):
    config, optimizer, graph, state = parts
    step = jax.jit(make_train_step(config, graph, optimizer, MEAN, STD))
    order = epoch_order(jax.random.key(0), 0, 70)
    one, same, other = (float(step(state, split, order, jax.random.key(k)).loss_sum) for k in (0, 0, 1))
    assert one == same
    assert one != other, "augmentation draws from the key"


def test_an_average_of_weights_is_what_is_evaluated_and_is_resumed(tiny, parts, split, tmp_path):
    _, optimizer, graph, state = parts
    step = jax.jit(make_train_step(tiny(**{"optimizer.average_decay": 0.6}), graph, optimizer, MEAN, STD))
    order, zeros = epoch_order(jax.random.key(0), 0, 70), jax.tree.map(jnp.zeros_like, (state.params, state.stats))
    states = [state._replace(opt_state=Averaged(state.opt_state, *zeros))]
    for _ in range(4):
        states.append(step(states[-1], split, order, jax.random.key(0)))
    expected = None
    for number, after in enumerate(states[1:]):
        kept, now = min(0.6, number / (number + 1)), jax.tree.leaves((after.params, after.stats))
        now = [np.asarray(leaf, np.float64) for leaf in now]
        expected = now if number == 0 else [kept * a + (1 - kept) * b for a, b in zip(expected, now, strict=True)]
    for one, other in zip(jax.tree.leaves(states[-1].evaluated), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert state.evaluated == (state.params, state.stats)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, states[2], {})
        resumed = checkpoints.restore(states[0]).state
    for _ in range(2):
        resumed = step(resumed, split, order, jax.random.key(0))
    for one, other in zip(jax.tree.leaves(resumed), jax.tree.leaves(states[-1]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_averages_a_checkpoint_has_what_it_had_before_there_were_any(parts):
    _, optimizer, _, state = parts
    assert state._fields == ("params", "stats", "opt_state", "step", "loss_sum", "correct_sum")
    assert jax.tree.structure(state.opt_state) == jax.tree.structure(optimizer.init(state.params))


def test_flips_alternate_in_training(tiny, split):
    """Of images that all differ from their mirror images, the net sees each both ways in two epochs, and with one key."""
    config = tiny(**{"augment.crop": 0, "augment.alternate_flips": True, "batch_size": 35})  # two steps an epoch
    seen = []

    class Watching(type(TASKS["classify"])):
        def augment(self, images, targets, key, config, mirrored=None):
            images, targets = super().augment(images, targets, key, config, mirrored)
            jax.debug.callback(lambda images: seen.append(np.asarray(images)), images)
            return images, targets

    optimizer = make_optimizer(config.optimizer, lambda step: 0.05)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, "classify", Watching())
        step = jax.jit(make_train_step(config, model_structure(config), optimizer, MEAN, STD))
        state = initial_state(config, optimizer, jax.random.key(0))
        for _ in range(4):
            state = step(state, split, jnp.arange(70), jax.random.key(0))
        jax.block_until_ready(state)
        jax.effects_barrier()
    first, second = np.concatenate(seen[:2]), np.concatenate(seen[2:])
    np.testing.assert_array_equal(second, first[:, :, ::-1])
    mirrored = (first != np.asarray(split.images)).any((1, 2, 3))
    assert 15 < mirrored.sum() < 55


def test_one_device_needs_no_sharding():
    assert data_sharding(7) == (None, None)
