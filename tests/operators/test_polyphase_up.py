"""The way back of polyphase sampling, and what it is for: a U-Net that is exactly equivariant to circular shifts."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from strideflax import conv, downsampler, polyphase_index, polyphase_sample, polyphase_upsample, upsampler
from strideflax.operators import PolyphaseUpsample


@pytest.mark.parametrize(("stride", "size"), [(2, None), ((2, 3), None), ((3, 1), (8, 4))])
def test_pixels_return_to_their_phase_among_zeros(stride, size, random):
    x = random.normal(size=(5, 3, 4, 2)).astype(np.float32)
    strides = (stride, stride) if isinstance(stride, int) else stride
    offsets = list(np.ndindex(*strides))
    index = random.integers(0, len(offsets), 5)
    expected = np.zeros((5, 3 * strides[0], 4 * strides[1], 2), np.float32)
    for image, pixels, phase in zip(expected, x, index, strict=True):
        down, right = offsets[phase]
        image[down :: strides[0], right :: strides[1]] = pixels
    y = polyphase_upsample(x, index, stride, size=size)
    expected = expected if size is None else expected[:, : size[0], : size[1]]
    np.testing.assert_array_equal(y, expected)


@pytest.mark.usefixtures("float64")
def test_it_is_the_transpose_of_the_sampling(random):
    fine, x = random.normal(size=(3, 6, 4, 2)), random.normal(size=(3, 3, 2, 2))
    for index in (np.array([3, 0, 2]), random.uniform(size=(3, 4))):
        down, up = polyphase_sample(fine, index), polyphase_upsample(x, index)
        np.testing.assert_allclose((down * x).sum(), (up * fine).sum(), rtol=1e-12)
    check_grads(polyphase_upsample, (jnp.asarray(x), jnp.asarray(index)), order=1)


def test_on_an_odd_size_kept_pixels_return_where_they_were(random):
    x = random.normal(size=(4, 5, 7, 1)).astype(np.float32)
    index = polyphase_index(x)
    y = np.asarray(polyphase_upsample(polyphase_sample(x, index), index, size=(5, 7)))
    np.testing.assert_array_equal(y[y != 0], x[y != 0])
    assert (y != 0).sum() >= 4 * 2 * 3


@pytest.mark.parametrize("taps", [3, 5])
def test_a_filter_fills_the_zeros_and_keeps_a_constant(taps):
    layer = PolyphaseUpsample(1, window=taps, padding="CIRCULAR")
    y = layer(jnp.full((4, 3, 3, 1), 2.0), index=jnp.arange(4))
    np.testing.assert_allclose(y, 2.0, rtol=1e-6)
    assert layer.macs((3, 3)) == 36 * 2 * taps
    line = PolyphaseUpsample(1, stride=(2,), window=3, padding="CIRCULAR")
    y = line(jnp.array([[2.0, 4.0, 8.0]])[..., None], index=jnp.array([1]))
    np.testing.assert_allclose(y[0, :, 0], [5, 2, 3, 4, 6, 8])


def test_it_needs_the_index():
    x = jnp.ones((2, 3, 3, 1))
    with pytest.raises(ValueError, match="PolyphaseUpsample puts pixels back where they were kept: it needs the index"):
        PolyphaseUpsample(1)(x)
    with pytest.raises(ValueError, match=re.escape("index must be integers [2] or weights [2, 4], got int32[3]")):
        PolyphaseUpsample(1)(x, index=jnp.zeros(3, jnp.int32))
    assert PolyphaseUpsample(1).phase() is None
    assert PolyphaseUpsample(1).macs((3, 3)) == 0


class UNet(nnx.Module):
    """Two levels down and up again, 3 x 3 circular convolutions and a skip connection on each."""

    def __init__(self, down: str, up: str, rngs: nnx.Rngs):
        make = nnx.initializers.he_normal()
        shapes = {"first": (2, 4), "second": (4, 4), "bottom": (4, 4), "third": (8, 4), "last": (8, 3)}
        self.kernels = nnx.Dict({name: nnx.Param(make(rngs.params(), (3, 3, *io))) for name, io in shapes.items()})
        self.down = nnx.List([downsampler(down)(4, padding="CIRCULAR", rngs=rngs) for _ in range(2)])
        self.up = nnx.List([upsampler(up)(4, padding="CIRCULAR", rngs=rngs) for _ in range(2)])

    def convolve(self, name, x):
        return nnx.relu(conv(x, self.kernels[name][...], padding="CIRCULAR"))

    def __call__(self, x):
        skips, indices = [], []
        for name, down in zip(("first", "second"), self.down, strict=True):
            x = self.convolve(name, x)
            skips.append(x)
            indices.append(down.select(x))
            x = down(x, index=indices[-1])
        x = self.convolve("bottom", x)
        for name, up in zip(("third", "last"), self.up, strict=True):
            skip, index = skips.pop(), indices.pop()
            x = up(x, size=skip.shape[1:3], index=index)
            x = self.convolve(name, jnp.concatenate([x, skip], -1))
        return x


@pytest.mark.parametrize(
    ("down", "up", "exact"),
    [("aps", "polyphase", True), ("lps", "polyphase", True), ("aps", "linear", False), ("max_pool", "linear", False)],
)
def test_a_u_net_follows_every_circular_shift_exactly_only_with_polyphase_both_ways(down, up, exact, random):
    net = UNet(down, up, nnx.Rngs(0))
    image = random.normal(size=(8, 12, 2)).astype(np.float32)
    shifts = list(itertools.product(range(8), range(12)))
    batch = np.stack([np.roll(image, shift, (0, 1)) for shift in shifts])
    maps = np.asarray(nnx.jit(lambda net, x: net(x))(net, jnp.asarray(batch)))
    back = np.stack([np.roll(y, (-down, -right), (0, 1)) for y, (down, right) in zip(maps, shifts, strict=True)])
    error = np.abs(back - back[0]).max() / np.abs(back[0]).max()
    assert bool(error < 1e-5) is exact, error


def test_weights_of_training_go_back_with_their_shares(random):
    """As LPS mixes phases in training: no exact shift, but a gradient reaches the scores through the way up."""
    operator = downsampler("lps")(2, rngs=nnx.Rngs(0))
    x = jnp.asarray(random.normal(size=(2, 4, 4, 2)), jnp.float32)

    def loss(operator):
        index = operator.select(x, train=True, key=jax.random.key(1))
        return (PolyphaseUpsample(2)(jnp.ones((2, 2, 2, 2)), index=index) ** 2).sum()

    gradient = nnx.grad(loss)(operator)
    assert np.abs(gradient.score[...]).min() > 0
