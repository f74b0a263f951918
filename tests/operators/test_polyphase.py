import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from configs.baseline import baseline
from strideflax import adaptive_polyphase, polyphase_index, polyphase_sample
from strideflax.config import Config
from strideflax.model import MiniResNet
from strideflax.model.batch_norm import BatchNorm
from strideflax.operators.polyphase import AdaptivePolyphase, LearnedPolyphase, Polyphase
from strideflax.operators.strided import StridedConv


def phases_of(image, stride):
    """Return each phase of one image [height, width, channels], pixel numbers wrapping around."""
    height, width, _ = image.shape
    rows = [[(p + i) % height for i in range(0, height, stride[0])] for p in range(stride[0])]
    columns = [[(q + j) % width for j in range(0, width, stride[1])] for q in range(stride[1])]
    return [image[np.ix_(r, c)] for r in rows for c in columns]


def shifts_of(image):
    """Return all circular shifts of an image [height, width, channels]."""
    return np.array([np.roll(image, shift, (0, 1)) for shift in np.ndindex(*image.shape[:2])])


def network(downsample="aps", padding="CIRCULAR", **changes):
    values = baseline("quick").to_dict()
    values["model"].update(downsample=downsample, padding=padding, widths=(4, 8, 8), **changes)
    values["model"]["stem"].update(kernel=3, stride=1)
    return MiniResNet(Config.from_dict(values).model, classes=10, key=jax.random.key(0))


def test_by_hand():
    """The phases of [3 1 0 2] are [3 0], norm 3, and [1 2], norm sqrt 5; of [1 3 1 0] they are [1 1] and [3 0]."""
    x = jnp.array([[3.0, 1, 0, 2], [1, 3, 1, 0]])[..., None]
    np.testing.assert_array_equal(polyphase_index(x), [0, 1])
    np.testing.assert_array_equal(adaptive_polyphase(x)[..., 0], [[3, 0], [3, 0]])
    np.testing.assert_array_equal(polyphase_sample(x, jnp.array([1, 0]))[..., 0], [[1, 2], [1, 1]])
    mixed = polyphase_sample(x, jnp.array([[0.5, 0.5], [0.25, 0.75]]))
    np.testing.assert_array_equal(mixed[..., 0], [[2, 1], [2.5, 0.25]])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("size", "stride"), [((8, 6), (2, 2)), ((7, 5), (2, 2)), ((6, 4), (3, 1)), ((7, 9), (2, 3))])
def test_the_phase_with_the_largest_norm_is_kept(size, stride, random):
    x = random.normal(size=(6, *size, 3))
    every = [phases_of(image, stride) for image in x]
    index = [int(np.argmax([np.sqrt((p**2).sum()) for p in phases])) for phases in every]
    assert len(set(index)) > 1
    np.testing.assert_array_equal(polyphase_index(x, stride), index)
    expected = [phases[i] for phases, i in zip(every, index, strict=True)]
    np.testing.assert_array_equal(adaptive_polyphase(x, stride), expected)
    weights = random.normal(size=(6, len(every[0])))
    expected = [
        sum(w * p for w, p in zip(row, phases, strict=True)) for row, phases in zip(weights, every, strict=True)
    ]
    np.testing.assert_allclose(polyphase_sample(x, weights, stride), expected, rtol=1e-12, atol=1e-13)


def test_the_one_bright_phase_wins_and_a_constant_stays_that_constant():
    for p, q in np.ndindex(2, 3):
        x = np.full((1, 4, 6, 2), 1.0, np.float32)
        x[:, p::2, q::3] = 5
        assert polyphase_index(x, (2, 3)).item() == 3 * p + q
        np.testing.assert_array_equal(adaptive_polyphase(x, (2, 3)), np.full((1, 2, 2, 2), 5.0))
    np.testing.assert_array_equal(AdaptivePolyphase(1)(jnp.full((1, 5, 4, 1), 3.0)), np.full((1, 3, 2, 1), 3.0))


@pytest.mark.parametrize("cls", [AdaptivePolyphase, LearnedPolyphase])
def test_a_shift_of_the_image_only_shifts_the_output(cls, random):
    operator = cls(2, stride=(2, 3), rngs=nnx.Rngs(0))
    x = shifts_of(random.normal(size=(6, 9, 2)).astype(np.float32))
    y = np.asarray(operator(jnp.asarray(x)))
    wanted = {shifted.tobytes() for shifted in shifts_of(y[0])}
    assert {image.tobytes() for image in y} == wanted
    assert len(wanted) == 9


def test_the_index_leads_the_shortcut(random):
    x, other = (jnp.asarray(random.normal(size=(5, 6, 4, c)), jnp.float32) for c in (2, 3))
    operator = AdaptivePolyphase(2)
    index = operator.select(x)
    np.testing.assert_array_equal(operator(x), polyphase_sample(x, index))
    np.testing.assert_array_equal(Polyphase(3)(other, index=index), polyphase_sample(other, index))
    np.testing.assert_array_equal(operator(x, index=(index + 1) % 4), polyphase_sample(x, (index + 1) % 4))


@pytest.mark.usefixtures("float64")
def test_the_learned_score_is_a_circular_convolution_a_rectifier_a_mean_and_a_product(random):
    x = random.normal(size=(3, 6, 5, 2))
    operator = LearnedPolyphase(2, rngs=nnx.Rngs(1))
    kernel, score = np.asarray(operator.conv.kernel[...], float), np.asarray(operator.score[...], float)
    for image, scores in zip(x, np.asarray(operator.scores(jnp.asarray(x))), strict=True):
        for phase, value in zip(phases_of(image, (2, 2)), scores, strict=True):
            hidden = sum(
                np.roll(phase, (1 - i, 1 - j), (0, 1)) @ kernel[i, j] for i, j in itertools.product(range(3), range(3))
            )
            assert value == pytest.approx(np.maximum(hidden, 0).mean((0, 1)) @ score, rel=1e-6)  # float32 weights
    best = operator.scores(jnp.asarray(x)).argmax(1)
    np.testing.assert_array_equal(operator.select(jnp.asarray(x)), best)


def test_the_learned_choice_is_random_in_training_with_softmax_probabilities(random):
    """The largest Gumbel-softmax weight falls on a phase with the probability that softmax of the scores gives it."""
    operator = LearnedPolyphase(2, rngs=nnx.Rngs(0))
    operator.score[...] *= 4
    x = jnp.asarray(random.normal(size=(1, 4, 4, 2)), jnp.float32)
    weights = operator.select(jnp.tile(x, (4000, 1, 1, 1)), train=True, key=jax.random.key(1))
    np.testing.assert_allclose(weights.sum(1), np.ones(4000), rtol=1e-5)
    shares = np.bincount(weights.argmax(1), minlength=4) / 4000
    scores = np.asarray(operator.scores(x)[0], float)
    probabilities = np.exp(scores) / np.exp(scores).sum()
    assert np.ptp(probabilities) > 0.1
    np.testing.assert_allclose(shares, probabilities, atol=4 * 0.5 / np.sqrt(4000))


def test_training_mixes_the_phases_and_teaches_the_scores(random):
    operator = LearnedPolyphase(2, rngs=nnx.Rngs(params=0))
    x = jnp.asarray(random.normal(size=(3, 4, 4, 2)), jnp.float32)
    weights = operator.select(x, train=True, key=jax.random.key(2))
    np.testing.assert_allclose(operator(x, train=True, key=jax.random.key(2)), polyphase_sample(x, weights), rtol=1e-6)
    gradient = nnx.grad(lambda operator: (operator(x, train=True, key=jax.random.key(2)) ** 2).sum())(operator)
    assert np.abs(gradient.score[...]).min() > 0
    assert np.abs(gradient.conv.kernel[...]).max() > 0
    with pytest.raises(ValueError, match="LearnedPolyphase needs a key in training, got None"):
        operator(x, train=True)


@pytest.mark.usefixtures("float64")
def test_gradients(random):
    x = jnp.asarray(random.normal(size=(2, 5, 4, 2)))
    check_grads(jax.jit(adaptive_polyphase), (x,), order=1)
    check_grads(jax.jit(polyphase_sample), (x, jnp.asarray(random.uniform(size=(2, 4)))), order=1)


@pytest.mark.parametrize(("cls", "taps"), [(Polyphase, 0), (AdaptivePolyphase, 4), (LearnedPolyphase, 4 * 9 * 16)])
def test_stages_dense_and_phase(cls, taps):
    operator = cls(3, rngs=nnx.Rngs(0))
    (one,) = operator.passes((7, 6))
    assert one.output_size((7, 6)) == (4, 3)
    assert one.macs((7, 6)) == 12 * 3 * taps
    assert operator.phase((7, 6)) is None
    x = jnp.ones((1, 7, 6, 3))
    assert operator.dense(x) is x


def test_a_map_of_one_pixel_wraps_around():
    pixel = jnp.full((1, 1, 1, 1), 5.0)
    assert AdaptivePolyphase(1, stride=3)(pixel).item() == 5


def test_wrong_arguments_are_refused():
    x = jnp.ones((2, 4, 4, 1))
    with pytest.raises(ValueError, match=re.escape("index must be integers [2] or weights [2, 4], got int32[3]")):
        polyphase_sample(x, jnp.zeros(3, jnp.int32))
    with pytest.raises(ValueError, match=re.escape("index must be integers [2] or weights [2, 4], got float32[2]")):
        polyphase_sample(x, jnp.zeros(2))
    with pytest.raises(ValueError, match="Polyphase samples where another operator chose: it needs an index, got None"):
        Polyphase(1)(x)
    with pytest.raises(ValueError, match="AdaptivePolyphase has no window to choose"):
        AdaptivePolyphase(1, window=3)


@pytest.mark.parametrize("placement", ["after", "before"])
@pytest.mark.parametrize("name", ["aps", "lps"])
def test_in_a_block_the_shortcut_follows(name, placement):
    block = nnx.eval_shape(lambda: network(name, placement=placement)).blocks[1]
    reduction, shortcut = block.reduction, block.shortcut
    assert [type(layer) for layer in shortcut.layers] == [Polyphase, StridedConv, BatchNorm]
    assert any(isinstance(layer, AdaptivePolyphase | LearnedPolyphase) for layer in reduction.layers)


def test_a_network_sees_the_same_class_in_every_circular_shift_but_not_with_zero_padding(random):
    """The whole promise, untrained: 1 class in all 256 shifts of each image. Zero padding breaks it."""
    images = random.normal(size=(8, 16, 16, 3)).astype(np.float32)
    images[:, 4:9, 3:10] += random.normal(size=(8, 1, 1, 3)) * 2
    shifts = [jnp.asarray(shifts_of(image)) for image in images]

    def logits(**options):
        model = network(**options)
        call = nnx.jit(lambda model, x: model(x))
        return np.array([call(model, x) for x in shifts])

    y = logits()
    assert np.ptp(y.argmax(2), axis=1).max() == 0
    np.testing.assert_allclose(y, np.broadcast_to(y[:, :1], y.shape), atol=1e-5)
    assert np.ptp(logits(padding="SYMMETRIC").argmax(2), axis=1).max() > 0


@pytest.mark.parametrize("index", [[0, 4], [-1, 0]])
def test_a_phase_that_does_not_exist_is_refused(index):
    with pytest.raises(ValueError, match=re.escape(f"index must be phases in 0..3, got {index}")):
        polyphase_sample(np.ones((2, 4, 4, 1), np.float32), np.array(index))
