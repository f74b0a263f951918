"""What every operator in the table keeps to, and what the filters among them add: a dense map, a phase to measure."""

import itertools
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from strideflax import DOWNSAMPLERS, UPSAMPLERS, downsampler, upsampler
from strideflax.operators.base import Downsample
from strideflax.operators.geometry import MODULE_PADDINGS
from strideflax.operators.receptive_field import receptive_fields
from strideflax.operators.table import operator_name

PADDINGS = ("SAME", "SAME_LOWER", "SYMMETRIC", "CIRCULAR", "REFLECT")
STRIDES = (2, 3, (2, 1))
FILTERS = ("strided_conv", "subsample", "max_pool", "avg_pool", "conv_pool", "blur_pool", "max_blur")
every_operator = pytest.mark.parametrize("name", list(DOWNSAMPLERS))
every_filter = pytest.mark.parametrize("name", FILTERS)


def build(name, **options):
    return downsampler(name)(1, rngs=nnx.Rngs(0), **options)


def settings(name):
    """Yield the operator with every stride and padding that it has."""
    cls = downsampler(name)
    for stride, padding in itertools.product(STRIDES, MODULE_PADDINGS):
        if cls.strides is None or stride in cls.strides:
            yield build(name, stride=stride, padding=padding)


def few_settings(name):
    """Yield a filter with each stride, padding and kind of window at least once; each costs compilations."""
    yield build(name)
    yield build(name, padding="SAME")
    yield build(name, stride=3, padding="SAME_LOWER")
    yield build(name, stride=3, padding="REFLECT")
    yield build(name, stride=(2, 1), padding="CIRCULAR")
    if downsampler(name).default_window is not None:
        yield build(name, window=4, padding="SYMMETRIC")
        yield build(name, stride=(1, 2), window=3)
        yield build(name, window=(5, 2), padding="SAME")


def describe(operator):
    return f"stride {operator.stride}, window {operator.window}, {operator.padding}"


def test_the_first_set_is_here():
    assert set(FILTERS) <= set(DOWNSAMPLERS)
    assert all(issubclass(entry.main, Downsample) for entry in DOWNSAMPLERS.values())
    assert MODULE_PADDINGS == PADDINGS


def test_an_unknown_operator_lists_the_known():
    with pytest.raises(ValueError, match=f"unknown downsampling operator 'maxpool'; known: {', '.join(DOWNSAMPLERS)}"):
        downsampler("maxpool")


@every_operator
def test_output_size_is_n_over_s_rounded_up_and_passes_say_so(name):
    for operator in settings(name):
        for size in [(8, 9), (7, 6), (5, 12), (6, 5)]:
            expected = tuple(-(-n // s) for n, s in zip(size, operator.stride, strict=True))
            out = jax.eval_shape(operator, jax.ShapeDtypeStruct((2, *size, 1), jnp.float32))
            assert out.shape == (2, *expected, operator.out_features), describe(operator)
            reached = size
            for one in operator.passes(size):
                reached = one.output_size(reached)
            assert reached == expected, describe(operator)


@every_filter
def test_the_output_is_every_s_th_pixel_of_the_dense_map_and_phase_the_centre_of_what_it_sees(name, random):
    """Raise one pixel after the other: the outputs that change see it. All weights are one, so that none cancels."""
    size = (10, 11)
    pixels = np.eye(size[0] * size[1], dtype=np.float32).reshape(-1, *size, 1)
    x = random.uniform(0, 1, (1, *size, 1)).astype(np.float32)
    batch = jnp.asarray(np.concatenate([x, x + 100 * pixels]))
    for operator in few_settings(name):
        nnx.update(operator, jax.tree.map(jnp.ones_like, nnx.state(operator, nnx.Param)))
        y, dense = map(np.asarray, jax.jit(lambda x: (operator(x), operator.dense(x)))(batch))  # noqa: B023
        down, right = operator.stride
        subsampled = dense[:, ::down, ::right]
        assert subsampled.shape == y.shape
        np.testing.assert_allclose(subsampled, y, rtol=1e-5, err_msg=describe(operator))

        middle = [o // 2 for o in y.shape[1:3]]
        seen = np.argwhere((y[1:] != y[:1])[:, middle[0], middle[1]].reshape(size))
        low, high = seen.min(0), seen.max(0)
        centre = [p + s * i for p, s, i in zip(operator.phase(size), operator.stride, middle, strict=True)]
        np.testing.assert_array_equal((low + high) / 2, centre, err_msg=describe(operator))
        fields = receptive_fields(operator.passes(size))
        assert [f.size for f in fields] == list(high - low + 1), describe(operator)
        assert tuple(f.jump for f in fields) == operator.stride


@every_operator
def test_a_batch_of_no_images_has_no_maps(name):
    def answer(x):
        return build(name)(x)

    assert jax.eval_shape(answer, jax.ShapeDtypeStruct((0, 8, 8, 1), jnp.float32)).shape[:3] == (0, 4, 4)


def test_streams_that_are_none_are_refused():
    for kind in (
        downsampler("blur_pool"),
        downsampler("conv_pool"),
        downsampler("stochastic_pool"),
        upsampler("linear"),
    ):
        with pytest.raises(ValueError, match=r"rngs must be flax.nnx.Rngs\(seed\) or None, got 0"):
            kind(1, rngs=0)


def test_an_operator_is_named_by_its_class():
    for table in ({name: downsampler(name) for name in DOWNSAMPLERS}, UPSAMPLERS):
        assert [operator_name(kind) for kind in table.values()] == list(table)
    assert operator_name(DOWNSAMPLERS["resnet_d"].shortcut) == "resnet_d"
    assert operator_name(DOWNSAMPLERS["aps"].shortcut) == "Polyphase"  # which lps has too


@every_operator
def test_bfloat16_stays(name):
    operator = build(name, padding=MODULE_PADDINGS[0])
    x = jax.ShapeDtypeStruct((1, 4, 4, 1), jnp.bfloat16)
    assert jax.eval_shape(operator, x).dtype == jnp.bfloat16
    if name in FILTERS:
        assert jax.eval_shape(operator.dense, x).dtype == jnp.bfloat16


@every_filter
def test_channels_do_not_mix_unless_it_convolves(name, random):
    x = jnp.asarray(random.normal(size=(1, 6, 6, 3)), jnp.float32)
    operator = downsampler(name)(3, rngs=nnx.Rngs(0))
    together, alone = jax.jit(operator.__call__)(x), jax.jit(operator.__call__)(x * jnp.array([[[[1.0, 0, 0]]]]))
    assert bool((together[..., 0] == alone[..., 0]).all()) is not operator.convolves


@every_filter
def test_a_map_of_one_pixel_works_with_zeros_and_is_refused_by_a_border(name):
    pixel = jnp.ones((1, 1, 1, 1))
    for padding in ("SYMMETRIC", "SAME", "SAME_LOWER"):
        assert build(name, padding=padding)(pixel).shape == (1, 1, 1, 1)
    operator = build(name, padding="REFLECT")
    if operator.default_window is None:
        assert operator(pixel).shape == (1, 1, 1, 1)
        return
    message = r"padding REFLECT needs a border of 1 .* size 1 can fill at most 0; use SAME or SYMMETRIC"
    for call in (operator, operator.dense, lambda x: operator.passes(x.shape[1:3])):
        with pytest.raises(ValueError, match=message):
            call(pixel)


@every_filter
def test_wrong_settings_are_refused(name):
    cls = downsampler(name)
    for padding in ("VALID", "same"):
        expected = f"{cls.__name__}: padding must be one of {', '.join(MODULE_PADDINGS)}, got {padding!r}"
        with pytest.raises(ValueError, match=re.escape(expected)):
            build(name, padding=padding)
    for stride in (0, -1, 1.5, True, (2,), (1, 2, 3)):
        with pytest.raises(ValueError, match=re.escape(f"{cls.__name__}: stride must be an int >= 1 or 2 of them")):
            build(name, stride=stride, axes=2)
    expected = (
        "has no window to choose, got window="
        if cls.default_window is None
        else "window must be an int >= 1 or 2 of them"
    )
    for window in (0, -1, 1.5, True, (2,), (1, 2, 3)):
        with pytest.raises(ValueError, match=f"{cls.__name__}.*{expected}"):
            build(name, window=window, axes=2)
    if cls.convolves:
        assert cls(2, 5, rngs=nnx.Rngs(0)).out_features == 5
    else:
        with pytest.raises(ValueError, match=f"{cls.__name__} keeps its 2 channels, got out_features=5"):
            cls(2, 5, rngs=nnx.Rngs(0))


def test_a_base_operator_is_no_filter():
    with pytest.raises(TypeError, match="Downsample is not a filter followed by subsampling"):
        Downsample(3).dense(jnp.ones((1, 4, 4, 3)))
    assert Downsample(3).select(jnp.ones((1, 4, 4, 3))) is None


@every_operator
@pytest.mark.parametrize("shape", [(8, 8, 1), (2, 8, 8, 3), (2, 3, 8, 8, 1)])
def test_an_input_of_another_shape_is_refused(name, shape):
    operator = build(name)
    message = rf"takes \[batch, height, width, 1\], got an input of shape {re.escape(str(shape))}"
    for use in (operator, partial(operator, train=True, key=jax.random.key(0)), operator.dense):
        with pytest.raises(ValueError, match=message):
            use(jnp.ones(shape))


@pytest.mark.parametrize("name", [name for name in DOWNSAMPLERS if not downsampler(name).convolves])
def test_what_becomes_of_a_constant_is_what_the_operator_says(name):
    operator = build(name)
    y = np.asarray(operator(jnp.concatenate([jnp.ones((1, 12, 12, 1)), -jnp.ones((1, 12, 12, 1))])))[:, 3, 3, 0]
    assert y[0] == pytest.approx(operator.constant_gain, rel=1e-5)
    assert (y[1] < 0) is np.bool_(operator.signed)
