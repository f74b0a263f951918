import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from strideflax import adaptive_polyphase, soft_polyphase
from strideflax.operators import TIPS


def mixed_phases(image, kernel, gain, stride):
    """The formula, for one image: a circular 3 x 3 of each channel, a rectifier, means of phases, a softmax, a sum."""
    hidden = np.zeros(image.shape)
    for i, j in itertools.product(range(3), range(3)):
        hidden += np.roll(image, (1 - i, 1 - j), (0, 1)) * kernel[i, j, 0]
    offsets = list(np.ndindex(*stride))
    down, right = stride
    means = np.stack([np.maximum(hidden, 0)[a::down, b::right].mean((0, 1)) for a, b in offsets])
    weights = np.exp(gain * means) / np.exp(gain * means).sum(0)
    return sum(w * image[a::down, b::right] for w, (a, b) in zip(weights, offsets, strict=True))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("stride", [(2, 2), (3, 2), (2, 1)])
def test_it_is_its_definition(stride, random):
    x, kernel, gain = random.normal(size=(3, 6, 4, 2)), random.normal(size=(3, 3, 1, 2)), random.normal(size=2)
    expected = [mixed_phases(image, kernel, gain, stride) for image in x]
    np.testing.assert_allclose(soft_polyphase(x, kernel, gain, stride=stride), expected, rtol=1e-11, atol=1e-13)


@pytest.mark.usefixtures("float64")
def test_gradients_against_differences(random):
    x, kernel, gain = random.normal(size=(2, 4, 4, 2)), random.normal(size=(3, 3, 1, 2)), random.normal(size=2)
    check_grads(jax.jit(soft_polyphase), (x, kernel, gain), order=1, modes=["rev"])


def test_the_mean_of_a_shifted_image_is_the_same_and_its_map_only_with_a_hard_choice(random):
    image = random.normal(size=(4, 6, 2)).astype(np.float32)
    batch = np.stack([np.roll(image, shift, (0, 1)) for shift in itertools.product(range(4), range(6))])
    layer = TIPS(2, rngs=nnx.Rngs(0))
    y = np.asarray(layer(jnp.asarray(batch)))
    np.testing.assert_allclose(y.mean((1, 2)), np.broadcast_to(y[0].mean((0, 1)), (24, 2)), rtol=1e-4, atol=1e-6)
    layer.gain[...] = jnp.full(2, 1e4)
    hard = np.asarray(layer(jnp.asarray(batch)))
    maps = {np.roll(hard[0, ..., 0], shift, (0, 1)).tobytes() for shift in itertools.product(range(2), range(3))}
    assert {one[..., 0].tobytes() for one in hard} <= maps


def test_a_large_gain_on_equal_channels_chooses_one_phase(random):
    x = jnp.asarray(np.abs(random.normal(size=(3, 4, 4, 1))) ** 3, jnp.float32)
    centre = np.zeros((3, 3, 1, 1), np.float32)
    centre[1, 1] = 1
    y = soft_polyphase(x**2, centre, np.full(1, 1e6, np.float32))
    np.testing.assert_allclose(y, adaptive_polyphase(x) ** 2, rtol=1e-5)  # the largest norm has the largest mean square


def test_the_module(random):
    layer = TIPS(3, rngs=nnx.Rngs(0))
    x = jnp.asarray(random.normal(size=(2, 7, 6, 3)), jnp.float32)
    np.testing.assert_array_equal(layer(x), soft_polyphase(x, layer.kernel[...], layer.gain[...]))
    assert layer.phase((7, 6)) is None
    assert layer.select(x) is None
    assert layer.dense(x) is x
    (one,) = layer.passes((7, 6))
    assert one.macs((7, 6)) == 12 * 3 * 4 * 10
    with pytest.raises(ValueError, match=r"gain must be one number for each of 3 channels, got shape \(2,\)"):
        soft_polyphase(x, layer.kernel[...], jnp.ones(2))
