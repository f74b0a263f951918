import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from strideflax import avg_pool, depth_to_space, haar_all, haar_low, space_to_depth
from strideflax.operators.rearrange import HaarAll, HaarLow, SpaceToDepth

MODES = {"CIRCULAR": {"mode": "wrap"}, "REFLECT": {"mode": "reflect"}, "SAME": {}, "SYMMETRIC": {}}


def completed(x, block, padding):
    """Pad the high end of each axis to a multiple of the block."""
    widths = [(0, 0), *((0, -n % b) for n, b in zip(x.shape[1:3], block, strict=True)), (0, 0)]
    return np.pad(x, widths, **MODES[padding])


def pixels(x, block, padding):
    """Return block by block, pixel by pixel: [phases, batch, *blocks, channels]."""
    x = completed(x, block, padding)
    return np.array([x[:, p :: block[0], q :: block[1]] for p in range(block[0]) for q in range(block[1])])


def test_by_hand():
    x = jnp.arange(1.0, 9).reshape(1, 2, 4, 1)  # [[1 2 3 4], [5 6 7 8]]
    np.testing.assert_array_equal(space_to_depth(x), [[[[1, 2, 5, 6], [3, 4, 7, 8]]]])
    np.testing.assert_array_equal(haar_low(x), [[[[7], [11]]]])
    np.testing.assert_array_equal(haar_all(x), [[[[7, -1, -4, 0], [11, -1, -4, 0]]]])
    colours = jnp.array([[1.0, 10], [2, 20], [3, 30]])[None]  # three pixels, two channels
    np.testing.assert_array_equal(space_to_depth(colours, padding="SAME"), [[[1, 10, 2, 20], [3, 30, 0, 0]]])
    np.testing.assert_array_equal(space_to_depth(colours, padding="REFLECT"), [[[1, 10, 2, 20], [3, 30, 2, 20]]])
    np.testing.assert_array_equal(space_to_depth(colours, padding="CIRCULAR"), [[[1, 10, 2, 20], [3, 30, 1, 10]]])


@pytest.mark.parametrize("padding", MODES)
@pytest.mark.parametrize(("size", "block"), [((8, 6), (2, 2)), ((7, 5), (2, 3)), ((3, 4), (1, 2))])
def test_space_to_depth_stacks_the_pixels_of_each_block(size, block, padding, random):
    x = random.normal(size=(2, *size, 3)).astype(np.float32)
    expected = np.concatenate(pixels(x, block, padding), axis=-1)
    y = space_to_depth(x, block, padding=padding)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(depth_to_space(y, block), completed(x, block, padding))


@pytest.mark.parametrize(("shape", "block"), [((2, 6, 3), 3), ((1, 4, 6, 2), (2, 3)), ((1, 2, 4, 6, 1), (2, 1, 3))])
def test_depth_to_space_inverts_in_one_two_and_three_dimensions(shape, block, random):
    x = random.normal(size=shape).astype(np.float32)
    y = space_to_depth(x, block)
    assert y.shape[-1] == shape[-1] * np.prod(block) ** (1 if isinstance(block, tuple) else len(shape) - 2)
    np.testing.assert_array_equal(depth_to_space(y, block), x)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("padding", MODES)
@pytest.mark.parametrize(("size", "stride"), [((8, 6), (2, 2)), ((7, 5), (2, 2)), ((5, 4), (2, 1)), ((4, 5), (1, 2))])
def test_haar_bands_are_sums_and_differences_along_each_axis(size, stride, padding, random):
    x = random.normal(size=(2, *size, 3))
    bands = [completed(x, stride, padding)]
    for axis, s in enumerate(stride, start=1):
        if s == 2:
            even, odd = (
                (lambda b, a=axis: b.take(range(0, b.shape[a], 2), a)),
                (lambda b, a=axis: b.take(range(1, b.shape[a], 2), a)),
            )
            bands = [f(b) for b in bands for f in (lambda b: even(b) + odd(b), lambda b: even(b) - odd(b))]  # noqa: B023
            bands = [b / np.sqrt(2) for b in bands]
    np.testing.assert_allclose(haar_all(x, stride, padding=padding), np.concatenate(bands, -1), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(haar_low(x, stride, padding=padding), bands[0], rtol=1e-12, atol=1e-13)


@pytest.mark.usefixtures("float64")
def test_haar_keeps_the_energy_and_its_low_band_is_twice_the_average(random):
    x = jnp.asarray(random.normal(size=(2, 8, 6, 3)))
    assert float((haar_all(x) ** 2).sum()) == pytest.approx(float((x**2).sum()), rel=1e-14)
    np.testing.assert_allclose(haar_low(x), 2 * avg_pool(x, 2), rtol=1e-13)
    np.testing.assert_allclose(haar_all(x)[..., :3], haar_low(x), rtol=1e-15)


def test_constants():
    x = jnp.full((1, 4, 6, 1), 3.0)
    np.testing.assert_array_equal(space_to_depth(x), np.full((1, 2, 3, 4), 3.0))
    np.testing.assert_array_equal(haar_low(x), np.full((1, 2, 3, 1), 6.0))
    np.testing.assert_array_equal(haar_all(x), np.tile([6.0, 0, 0, 0], (1, 2, 3, 1)))


@pytest.mark.usefixtures("float64")
def test_gradients(random):
    x = jnp.asarray(random.normal(size=(1, 5, 3, 2)))
    for function in (space_to_depth, haar_low, haar_all):
        check_grads(jax.jit(lambda x, f=function: f(x, padding="REFLECT")), (x,), order=1)


@pytest.mark.parametrize(("cls", "factor", "macs"), [(SpaceToDepth, 4, 0), (HaarAll, 4, 4 * 12), (HaarLow, 1, 4 * 3)])
def test_modules_are_the_functions_and_sample_a_dense_map(cls, factor, macs, random):
    function = {SpaceToDepth: space_to_depth, HaarAll: haar_all, HaarLow: haar_low}[cls]
    x = jnp.asarray(random.normal(size=(2, 7, 6, 3)), jnp.float32)
    for padding in ("SYMMETRIC", "REFLECT"):
        operator = cls(3, padding=padding, rngs=nnx.Rngs(0))
        assert operator.out_features == 3 * factor
        y = operator(x)
        np.testing.assert_array_equal(y, function(x, padding=padding))
        np.testing.assert_array_equal(operator.dense(x)[:, ::2, ::2], y)
        assert operator.phase((7, 6)) == (0.5, 0.5)
        (one,) = operator.passes((7, 6))
        assert one.output_size((7, 6)) == (4, 3)
        assert one.macs((7, 6)) == 12 * macs
    assert cls(3, stride=(2, 1)).out_features == 3 * min(factor, 2)


def test_a_map_of_one_pixel():
    pixel = jnp.full((1, 1, 1, 1), 5.0)
    np.testing.assert_array_equal(SpaceToDepth(1, stride=3)(pixel)[0, 0, 0], [5, *[0] * 8])
    np.testing.assert_array_equal(SpaceToDepth(1, stride=3, padding="CIRCULAR")(pixel)[0, 0, 0], [5] * 9)
    with pytest.raises(
        ValueError, match=r"padding REFLECT needs a border of 1 .* size 1 can fill at most 0; use SAME or"
    ):
        HaarLow(1, padding="REFLECT")(pixel)


def test_wrong_arguments_are_refused():
    x = jnp.ones((1, 5, 4, 3))
    with pytest.raises(
        ValueError, match=re.escape("blocks (2, 2) must divide the map of size (5, 4); or choose a padding: SAME")
    ):
        space_to_depth(x)
    with pytest.raises(ValueError, match=r"padding must be one of VALID, SAME, .*, got 'same'"):
        space_to_depth(x, padding="same")
    with pytest.raises(ValueError, match="block must be an int >= 1"):
        space_to_depth(x, 0)
    with pytest.raises(ValueError, match=r"channels must be a multiple of 4 for block \(2, 2\), got 3"):
        depth_to_space(x)
    with pytest.raises(ValueError, match="stride of the Haar wavelet must be 1 or 2 on each axis, got 3"):
        haar_low(x, 3)
    with pytest.raises(ValueError, match=re.escape("HaarAll: stride must be one of (1, 2) on each axis, got (2, 3)")):
        HaarAll(3, stride=(2, 3))
    with pytest.raises(ValueError, match="SpaceToDepth makes 12 of 3 channels, got out_features=3"):
        SpaceToDepth(3, 3)


def test_haar_of_integers_is_not_truncated():
    x = jnp.arange(16, dtype=jnp.int32).reshape(1, 4, 4, 1)
    np.testing.assert_allclose(haar_low(x), haar_low(x.astype(jnp.float32)))
