import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from strideflax import resize_pool
from strideflax.operators.geometry import MODULE_PADDINGS
from strideflax.operators.receptive_field import receptive_fields
from strideflax.operators.resize import Resize, triangle_filter

resized = jax.jit(resize_pool, static_argnames=("stride", "padding"))


def triangle_matrix(n, s, padding):
    """Return [ceil(n / s), n]: cell after cell, pixel after pixel, the height of a triangle over the cell's centre."""
    rows = []
    for i in range(-(-n // s)):
        centre, row, total = s * i + (s - 1) / 2, np.zeros(n), 0.0
        for p in range(int(np.floor(centre - s)), int(np.ceil(centre + s)) + 1):
            height = max(1 - abs(p - centre) / s, 0)
            source = {"CIRCULAR": p % n, "REFLECT": -p if p < 0 else 2 * (n - 1) - p if p >= n else p}.get(padding, p)
            if height and 0 <= source < n:
                row[source] += height
                total += height
        rows.append(row / total)
    return np.array(rows)


def test_filters_are_triangles_over_a_cell():
    for stride, weights in [(1, [1]), (2, [1, 3, 3, 1]), (3, [1, 2, 3, 2, 1]), (4, [1, 3, 5, 7, 7, 5, 3, 1])]:
        np.testing.assert_allclose(triangle_filter(stride), np.array(weights) / sum(weights), rtol=1e-15)


def test_by_hand():
    """Inside [1 3 3 1]/8; at the border the weights that are left, [3 3 1]/7."""
    x = jnp.array([7.0, 14, 21, 8, 16, 28]).reshape(1, 6, 1)
    inside = (14 + 3 * 21 + 3 * 8 + 16) / 8
    first, last = (3 * 7 + 3 * 14 + 21) / 7, (8 + 3 * 16 + 3 * 28) / 7
    np.testing.assert_allclose(resize_pool(x)[0, :, 0], [first, inside, last], rtol=1e-6)
    wrapped = [(28 + 3 * 7 + 3 * 14 + 21) / 8, inside, (8 + 3 * 16 + 3 * 28 + 7) / 8]
    np.testing.assert_array_equal(resize_pool(x, padding="CIRCULAR")[0, :, 0], wrapped)
    mirrored = [(14 + 3 * 7 + 3 * 14 + 21) / 8, inside, (8 + 3 * 16 + 3 * 28 + 16) / 8]
    np.testing.assert_array_equal(resize_pool(x, padding="REFLECT")[0, :, 0], mirrored)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("padding", ["SAME", "SYMMETRIC", "CIRCULAR", "REFLECT"])
@pytest.mark.parametrize(("size", "stride"), [((8, 6), (2, 2)), ((9, 7), (2, 3)), ((5, 12), (1, 4))])
def test_it_is_a_triangle_filter_on_each_axis(size, stride, padding, random):
    x = random.normal(size=(2, *size, 3))
    rows, columns = (triangle_matrix(n, s, padding) for n, s in zip(size, stride, strict=True))
    expected = np.einsum("ih,jw,bhwc->bijc", rows, columns, x)
    np.testing.assert_allclose(resized(x, stride=stride, padding=padding), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("stride", [(2, 2), (3, 1), (4, 2)])
def test_it_is_jax_s_antialiased_resize_where_the_stride_divides_the_size(stride, random):
    x = random.normal(size=(1, 12, 8, 2))
    shape = (1, 12 // stride[0], 8 // stride[1], 2)
    expected = jax.image.resize(x, shape, "linear", antialias=True)
    np.testing.assert_allclose(resized(x, stride=stride), expected, rtol=1e-6, atol=1e-6)  # its weights are float32


@pytest.mark.parametrize("padding", MODULE_PADDINGS)
def test_a_constant_stays_that_constant(padding):
    y = resized(jnp.full((1, 7, 8, 1), 3.0), stride=2, padding=padding)
    np.testing.assert_allclose(y, np.full((1, 4, 4, 1), 3.0), rtol=1e-6)


@pytest.mark.usefixtures("float64")
def test_gradient(random):
    x = jnp.asarray(random.normal(size=(1, 5, 4, 2)))
    check_grads(lambda x: resized(x, stride=2, padding="SAME"), (x,), order=1)


def test_the_module_is_the_function_and_samples_a_dense_map(random):
    x = jnp.asarray(random.normal(size=(2, 7, 8, 3)), jnp.float32)
    for padding in ("SYMMETRIC", "CIRCULAR"):
        operator = Resize(3, stride=(2, 3), padding=padding, rngs=nnx.Rngs(0))
        y = operator(x)
        np.testing.assert_array_equal(y, resize_pool(x, (2, 3), padding=padding))
        np.testing.assert_allclose(operator.dense(x)[:, ::2, ::3], y, rtol=1e-6, atol=1e-6)
        assert operator.phase((7, 8)) == (0.5, 1.0)
        assert [f.size for f in receptive_fields(operator.passes((7, 8)))] == [4, 5]
        (one,) = operator.passes((7, 8))
        assert one.output_size((7, 8)) == y.shape[1:3]
        assert one.macs((7, 8)) == 4 * 3 * (4 + 5) * 3


def test_a_map_too_small_for_its_border_says_what_to_use():
    with pytest.raises(
        ValueError, match=r"padding REFLECT needs a border of 2 .* size 1 .* at most 0; use SAME or SYMM"
    ):
        Resize(1, padding="REFLECT")(jnp.ones((1, 1, 1, 1)))
    assert Resize(1)(jnp.full((1, 1, 1, 1), 5.0)).item() == pytest.approx(5, rel=1e-6)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="stride must be an int >= 1"):
        resize_pool(jnp.ones((1, 4, 4, 1)), 0)
    with pytest.raises(
        ValueError, match=re.escape("padding must be one of SAME, SAME_LOWER, SYMMETRIC, CIRCULAR, REFLECT, got")
    ):
        resize_pool(jnp.ones((1, 4, 4, 1)), padding="VALID")
    with pytest.raises(ValueError, match="Resize has no window to choose"):
        Resize(1, window=3)
