import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from operators import reference

from strideflax import avg_pool, max_pool, output_size
from strideflax.operators.pool import AvgPool, MaxPool

EXACT = {"rtol": 1e-13, "atol": 1e-13}

# size, window, stride, padding, dilation
CASES = [
    ((9,), (2,), (2,), "VALID", (1,)),
    ((9,), (3,), (2,), "SAME", (1,)),
    ((10,), (3,), (2,), "SAME_LOWER", (1,)),
    ((11,), (3,), (4,), "SYMMETRIC", (2,)),
    ((8,), (4,), (3,), "CIRCULAR", (1,)),
    ((8,), (4,), (1,), "REFLECT", (1,)),
    ((8, 9), (2, 2), (2, 2), "VALID", (1, 1)),
    ((8, 9), (3, 3), (2, 2), "SYMMETRIC", (1, 1)),
    ((8, 9), (3, 3), (1, 1), "SAME", (1, 1)),
    ((9, 8), (3, 2), (2, 1), "SAME", (1, 1)),
    ((9, 8), (2, 3), (3, 2), "SAME_LOWER", (1, 1)),
    ((9, 8), (3, 3), (2, 2), ((0, 1), (2, 1)), (1, 1)),
    ((9, 8), (4, 3), (4, 3), 1, (2, 3)),
    ((9, 8), (3, 4), (2, 2), "CIRCULAR", (2, 1)),
    ((9, 8), (3, 4), (2, 2), "REFLECT", (2, 1)),
    ((7, 7), (7, 7), (7, 7), "VALID", (1, 1)),
    ((5, 4, 6), (2, 2, 2), (2, 2, 2), "VALID", (1, 1, 1)),
    ((5, 4, 6), (3, 1, 2), (1, 2, 3), "SYMMETRIC", (1, 1, 2)),
    ((5, 4, 6), (3, 2, 2), (2, 2, 1), "CIRCULAR", (1, 2, 1)),
]
by_case = pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)).replace(" ", ""))


def distinct(random, size):
    """All different and all negative, so that a zero in the padding would win."""
    x = np.arange(2.0 * np.prod(size) * 3)
    return random.permutation(x).reshape(2, *size, 3) - 2 * x.size


def check(pool, plain, plain_gradient, x, random, window, stride, padding, dilation, **options):
    expected = plain(x, window, stride, padding, dilation, **options)
    dy = random.normal(size=expected.shape)

    @jax.jit
    def both(x, dy):
        y, pullback = jax.vjp(
            lambda x: pool(x, window, stride=stride, padding=padding, dilation=dilation, **options), x
        )
        return y, pullback(dy)[0]

    y, dx = both(x, dy)
    np.testing.assert_allclose(y, expected, **EXACT)
    expected = plain_gradient(x, dy, window, stride, padding, dilation, **options)
    np.testing.assert_allclose(dx, expected, **EXACT)
    assert y.shape[1:-1] == output_size(x.shape[1:-1], window, stride=stride, padding=padding, dilation=dilation)


@pytest.mark.usefixtures("float64")
@by_case
def test_max_pool_is_its_definition(case, random):
    check(max_pool, reference.max_pool, reference.max_pool_gradient, distinct(random, case[0]), random, *case[1:])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("count_include_pad", [False, True])
@by_case
def test_avg_pool_is_its_definition(case, count_include_pad, random):
    options = {"count_include_pad": count_include_pad}
    x = random.normal(size=(2, *case[0], 3))
    check(avg_pool, reference.avg_pool, reference.avg_pool_gradient, x, random, *case[1:], **options)


def row(*values, dtype=jnp.float32):
    return jnp.array(values, dtype).reshape(1, -1, 1)


@pytest.mark.parametrize("pool", [max_pool, avg_pool])
def test_the_default_stride_is_the_window(pool):
    assert pool(jnp.zeros((1, 8, 9, 1)), (2, 3)).shape == (1, 4, 3, 1)
    assert pool(jnp.zeros((1, 8, 9, 1)), (2, 3), stride=1).shape == (1, 7, 7, 1)


def test_max_pool_pads_with_minus_infinity():
    np.testing.assert_array_equal(max_pool(row(-5, -3, -4), 3, stride=1, padding="SAME")[0, :, 0], [-3, -3, -3])


def test_avg_pool_counts_padding_only_if_told():
    x = row(6, 12, 18)
    np.testing.assert_array_equal(avg_pool(x, 3, stride=1, padding="SAME")[0, :, 0], [9, 12, 15])
    y = avg_pool(x, 3, stride=1, padding="SAME", count_include_pad=True)
    np.testing.assert_array_equal(y[0, :, 0], [6, 12, 10])


def test_avg_pool_counts_mirrored_and_wrapped_pixels_as_real():
    x = row(6, 12, 18)
    for include in (False, True):
        y = avg_pool(x, 3, stride=1, padding="REFLECT", count_include_pad=include)
        np.testing.assert_array_equal(y[0, :, 0], [10, 12, 14])
        y = avg_pool(x, 3, stride=1, padding="CIRCULAR", count_include_pad=include)
        np.testing.assert_array_equal(y[0, :, 0], [12, 12, 12])


def max_gradient(x, window, **options):
    return jax.grad(lambda x: max_pool(x, window, **options).sum())(x)


@pytest.mark.parametrize("implementation", ["auto", "lax"])
def test_a_tie_goes_to_the_first_in_row_major_order(implementation):
    how = {"implementation": implementation}
    np.testing.assert_array_equal(max_gradient(row(1, 1, 0, 2), 2, **how)[0, :, 0], [1, 0, 0, 1])
    np.testing.assert_array_equal(max_gradient(row(1, 1, 1), 3, **how)[0, :, 0], [1, 0, 0])
    gradient = max_gradient(jnp.array([[3.0, 3], [3, 0]]).reshape(1, 2, 2, 1), 2, **how)[0, ..., 0]
    np.testing.assert_array_equal(gradient, [[1, 0], [0, 0]])
    gradient = max_gradient(jnp.zeros((1, 3, 3, 1)), 2, stride=1, **how)[0, ..., 0]
    np.testing.assert_array_equal(gradient, [[1, 1, 0], [1, 1, 0], [0, 0, 0]])
    assert max_gradient(jnp.zeros((1, 6, 7, 2)), 3, stride=2, padding="SYMMETRIC", **how).sum() == 3 * 4 * 2


def test_nan_is_the_largest_and_takes_the_gradient():
    x = row(1, np.nan, 5, 2)
    np.testing.assert_array_equal(max_pool(x, 2, stride=1)[0, :, 0], [np.nan, np.nan, 5])
    np.testing.assert_array_equal(jax.vjp(lambda x: max_pool(x, 2), x)[0][0, :, 0], [np.nan, 5])
    np.testing.assert_array_equal(max_gradient(x, 2, stride=1)[0, :, 0], [0, 2, 1, 0])


def test_a_window_of_more_than_255_pixels_has_its_gradient():
    x = jnp.arange(17 * 17, dtype=jnp.float32).reshape(1, 17, 17, 1)
    gradient = np.asarray(max_gradient(x, 17))
    assert gradient.sum() == gradient[0, -1, -1, 0] == 1


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("window", [2, 3, (1, 5)])
@pytest.mark.parametrize("pool", [max_pool, avg_pool])
def test_the_plain_formulation_has_the_same_values_and_gradients(pool, window, stride, random):
    x = jnp.asarray(random.normal(size=(2, 9, 10, 3)), jnp.float32)
    for padding in ("VALID", "SYMMETRIC", "CIRCULAR"):
        (one, pull_one), (other, pull_other) = (
            jax.vjp(lambda x: pool(x, window, stride=stride, padding=padding, implementation=how), x)  # noqa: B023
            for how in ("slices", "lax")
        )
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
        g = jnp.asarray(random.normal(size=one.shape), jnp.float32)
        np.testing.assert_allclose(pull_one(g)[0], pull_other(g)[0], rtol=1e-5, atol=1e-6)


def test_an_unknown_implementation_is_refused():
    with pytest.raises(ValueError, match="implementation must be one of auto, slices, lax, got 'fast'"):
        max_pool(row(1, 2), 2, implementation="fast")


def test_max_pool_of_booleans_is_any():
    y = max_pool(row(True, False, False, False, False, dtype=bool), 3, stride=2, padding=1)
    assert y.dtype == bool
    np.testing.assert_array_equal(y[0, :, 0], [True, False, False])


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int8"])
def test_max_pool_of_integers(dtype):
    y = max_pool(row(3, 1, 2, 7, 0, dtype=dtype), 3, stride=2, padding=1)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y[0, :, 0], [3, 7, 7])


@pytest.mark.parametrize("pool", [max_pool, avg_pool])
def test_pools_keep_bfloat16(pool):
    y = pool(row(1, 3, 5, dtype=jnp.bfloat16), 2, padding=((1, 0),))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y[0, :, 0], [1, 5 if pool is max_pool else 4])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("pool", [max_pool, avg_pool])
def test_derivatives_forwards_of_second_order_and_vmap(pool, random):
    x, dx = distinct(random, (6, 5)), random.normal(size=(2, 6, 5, 3))

    def f(x):
        return pool(x, (2, 3), stride=2, padding="SYMMETRIC")

    y, tangent = jax.jvp(f, (x,), (dx,))
    dy = random.normal(size=y.shape)
    pulled = jax.vjp(f, jnp.asarray(x))[1](dy)[0]
    np.testing.assert_allclose((tangent * dy).sum(), (dx * pulled).sum(), rtol=1e-12)
    np.testing.assert_array_equal(jax.vmap(f)(x[None])[0], y)
    second = jax.jvp(jax.grad(lambda x: (f(x) ** 2).sum()), (x,), (dx,))[1]  # the gradient is linear in y: 2 P^T P dx
    np.testing.assert_allclose(second, 2 * jax.vjp(f, jnp.asarray(x))[1](tangent)[0], rtol=1e-12)


# Errors say what was expected and what came

X = np.zeros((2, 8, 9, 4), np.float32)
each_pool = pytest.mark.parametrize("pool", [max_pool, avg_pool])


@each_pool
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2", (2,), (1, 2, 3), (2, 0)])
@pytest.mark.parametrize("name", ["window", "stride", "dilation"])
def test_windows_strides_and_dilations_are_positive_ints(pool, name, value):
    expected = f"{name} must be an int >= 1 or 2 of them (one per spatial axis), got {value!r}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        pool(X, **{"window": 2, name: value})


@each_pool
@pytest.mark.parametrize("padding", ["valid", -1, True, None, (1, 1, 1), ((1, 2, 3), 0)])
def test_unknown_paddings_are_refused(pool, padding):
    with pytest.raises(ValueError, match="padding must be ") as error:
        pool(X, 2, padding=padding)
    assert str(error.value).endswith(f"got {padding!r}")


@each_pool
def test_ranks_empty_outputs_and_wide_borders_are_refused(pool):
    with pytest.raises(ValueError, match=r"1, 2 or 3 spatial axes, got shape \(8, 4\)"):
        pool(np.zeros((8, 4)), 2)
    with pytest.raises(ValueError, match=r"empty output: a window of extent 9 .* size 8 with padding \(0, 0\)"):
        pool(X, 9)
    with pytest.raises(ValueError, match=r"REFLECT needs a border of 1 pixels.*size 1 can fill at most 0; use SAME"):
        pool(np.zeros((1, 1, 1)), 3, padding="REFLECT")


@each_pool
def test_a_window_of_nothing_but_padding_is_refused(pool):
    message = r"padding 2 leaves \d+ windows of size \(2, 2\) without a single pixel .*\(8, 9\); use less"
    with pytest.raises(ValueError, match=message):
        pool(X, 2, padding=2)


# The modules


@pytest.mark.parametrize("module", [MaxPool, AvgPool])
def test_modules_default_to_a_window_of_the_stride(module):
    assert module(3, stride=(2, 3)).window == (2, 3)
    assert module(3, stride=(2, 1), window=3).window == (3, 1)
    assert module(3, stride=(2, 1), window=(3, 3)).window == (3, 3)


def test_modules_are_their_functions(random):
    x = jnp.asarray(random.normal(size=(2, 7, 8, 3)), jnp.float32)
    pads = ((1, 1), (0, 1))
    y = MaxPool(3, stride=2, window=(3, 2))(x)
    np.testing.assert_array_equal(y, max_pool(x, (3, 2), stride=2, padding=pads))
    y = AvgPool(3, stride=2, window=(3, 2))(x)
    np.testing.assert_array_equal(y, avg_pool(x, (3, 2), stride=2, padding=pads))
    np.testing.assert_array_equal(MaxPool(3)(x)[:, :3], max_pool(x, 2)[:, :3])
    assert MaxPool(3).phase((7, 8)) == AvgPool(3).phase((7, 8)) == (0.5, 0.5)
    assert MaxPool(3, window=3).phase((7, 8)) == (0.0, 0.0)


def test_a_numpy_int_is_an_int_for_a_window_too():
    assert MaxPool(3, stride=(2, 1), window=np.int64(3)).window == (3, 1)
