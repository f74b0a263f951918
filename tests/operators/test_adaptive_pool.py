"""Pools with PyTorch's rules for sizes: rounding up, and bins for a given output size."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from strideflax import adaptive_avg_pool, adaptive_max_pool, avg_pool, max_pool

CEIL = [  # map size, window, stride, padding, dilation
    ((7, 6), (2, 3), (2, 2), (0, 0), (1, 1)),
    ((6, 8), (3, 3), (2, 3), (1, 1), (1, 1)),
    ((5, 7), (2, 2), (3, 3), (1, 0), (1, 1)),
    ((9, 8), (3, 2), (3, 2), (1, 1), (2, 1)),
]
BINS = [
    ((7, 5), (3, 2)),
    ((8, 6), (4, 6)),
    ((6, 4), (4, 7)),
    ((5, 3), (1, None)),
    ((4, 6, 5), (3, 4, 2)),
    ((10,), (4,)),
]


def windows_of_pytorch(n, k, s, p, d):
    """Return the real pixels of each window, and its width including padding: the last starts on the map or before it."""
    reach = (k - 1) * d + 1
    count = -(-(n + 2 * p - reach) // s) + 1
    if (count - 1) * s >= n + p:
        count -= 1
    found = []
    for i in range(count):
        taps = [i * s - p + t * d for t in range(k)]
        found.append(([t for t in taps if 0 <= t < n], len([t for t in taps if t < n + p])))
    return found


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("size", "window", "stride", "padding", "dilation"), CEIL)
def test_ceil_mode_is_pytorch_s_definition(size, window, stride, padding, dilation, random):
    x = random.normal(size=(2, *size, 3))
    axes = [windows_of_pytorch(*one) for one in zip(size, window, stride, padding, dilation, strict=True)]
    shape = (2, *map(len, axes), 3)
    strongest, real, whole = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for (i, (rows, height)), (j, (columns, width)) in itertools.product(*map(enumerate, axes)):
        pixels = x[:, rows][:, :, columns]
        strongest[:, i, j] = pixels.max((1, 2))
        real[:, i, j] = pixels.mean((1, 2))
        whole[:, i, j] = pixels.sum((1, 2)) / (height * width)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": True}
    np.testing.assert_array_equal(max_pool(x, window, **options), strongest)
    np.testing.assert_allclose(avg_pool(x, window, **options), real, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(avg_pool(x, window, count_include_pad=True, **options), whole, rtol=1e-12, atol=1e-14)


def bins(n, count):
    return [slice(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("size", "wanted"), BINS)
def test_adaptive_pools_and_their_gradients_are_those_of_their_bins(size, wanted, random):
    x = random.normal(size=(2, *size, 3))
    output = tuple(n if o is None else o for n, o in zip(size, wanted, strict=True))
    dy = random.normal(size=(2, *output, 3))
    strongest, mean = np.zeros(dy.shape), np.zeros(dy.shape)
    to_strongest, to_mean = np.zeros(x.shape), np.zeros(x.shape)
    axes = tuple(range(1, len(size) + 1))
    cuts = [bins(n, o) for n, o in zip(size, output, strict=True)]
    for place in np.ndindex(*output):
        region = (slice(None), *(cut[i] for cut, i in zip(cuts, place, strict=True)))
        at, pixels = (slice(None), *place), x[region]
        strongest[at], mean[at] = pixels.max(axes), pixels.mean(axes)
        gradient = dy[at].reshape(2, *(1,) * len(size), 3)
        to_mean[region] += gradient / np.prod(pixels.shape[1:-1])
        to_strongest[region] += gradient * (pixels == pixels.max(axes, keepdims=True))
    for pool, expected, back in ((adaptive_max_pool, strongest, to_strongest), (adaptive_avg_pool, mean, to_mean)):
        y, pull = jax.vjp(jax.jit(lambda x, pool=pool: pool(x, wanted)), jnp.asarray(x))
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(pull(jnp.asarray(dy))[0], back, rtol=1e-12, atol=1e-14)


def test_they_are_pytorch_s(random):
    torch = pytest.importorskip("torch")
    x = random.normal(size=(2, 7, 6, 3)).astype(np.float32)
    channels_first = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    functions = torch.nn.functional
    for k, s, p in ((2, 2, 0), (3, 2, 1), (2, 3, 1)):
        options = {"stride": s, "padding": p, "ceil_mode": True}
        pairs = [
            (max_pool(x, k, **options), functions.max_pool2d(channels_first, k, **options)),
            (avg_pool(x, k, **options), functions.avg_pool2d(channels_first, k, count_include_pad=False, **options)),
            (avg_pool(x, k, count_include_pad=True, **options), functions.avg_pool2d(channels_first, k, **options)),
        ]
        for y, expected in pairs:
            np.testing.assert_allclose(y, expected.numpy().transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-6)
    for size in ((3, 4), (9, 1), (7, 6)):
        y, expected = adaptive_avg_pool(x, size), functions.adaptive_avg_pool2d(channels_first, size)
        np.testing.assert_allclose(y, expected.numpy().transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-6)
        y, expected = adaptive_max_pool(x, size), functions.adaptive_max_pool2d(channels_first, size)
        np.testing.assert_array_equal(y, expected.numpy().transpose(0, 2, 3, 1))


def test_the_first_of_equal_values_gets_the_gradient():
    gradient = jax.grad(lambda x: adaptive_max_pool(x, 1).sum())(jnp.ones((1, 3, 3, 1)))
    np.testing.assert_array_equal(gradient[0, :, :, 0], [[1, 0, 0], [0, 0, 0], [0, 0, 0]])
    crossed = jnp.array([[0.0, 1.0], [1.0, 0.0]])[None, :, :, None]  # row by row the one above comes first
    gradient = jax.grad(lambda x: adaptive_max_pool(x, 1).sum())(crossed)
    np.testing.assert_array_equal(gradient[0, :, :, 0], [[0, 1], [0, 0]])


def test_bfloat16_rounds_once(random):
    x = jnp.asarray(random.normal(size=(2, 7, 5, 3)), jnp.bfloat16)
    expected = adaptive_avg_pool(x.astype(jnp.float32), 3).astype(jnp.bfloat16)
    np.testing.assert_array_equal(adaptive_avg_pool(x, 3), expected)


def test_wrong_arguments_are_refused():
    x = jnp.ones((1, 6, 6, 1))
    with pytest.raises(ValueError, match="ceil_mode rounds up into zeros, which padding CIRCULAR does not have"):
        max_pool(x, 3, padding="CIRCULAR", ceil_mode=True)
    for size in (0, (2, 3, 4), (2, 1.5)):
        with pytest.raises(ValueError, match=re.escape("size must be an int >= 1")):
            adaptive_avg_pool(x, size)
