"""The ways back up: each against a plain definition, and what all of them keep to."""

import itertools
import math
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from strideflax import (
    DOWNSAMPLERS,
    UPSAMPLERS,
    blur_upsample,
    conv,
    conv_transpose,
    downsampler,
    linear_upsample,
    nearest_upsample,
    spectral_pool,
    spectral_upsample,
    upsampler,
    way_back,
)
from strideflax.operators import BlurPool
from strideflax.operators.geometry import MODULE_PADDINGS

every_upsampler = pytest.mark.parametrize("name", list(UPSAMPLERS))
KEEPING = [name for name, cls in UPSAMPLERS.items() if not cls.convolves and name not in ("polyphase", "haar", "db2")]
WAVELETS = ("haar", "db2")


def build(name, features=8, **options):
    return upsampler(name)(features, rngs=nnx.Rngs(0), **options)


def enlarge(layer, x, size=None):
    """Call a layer, with phase 0 of every image if it asks for one."""
    return layer(x, size=size, index=jnp.zeros(x.shape[0], int))


def spread(x, size, stride, weight, wraps):
    """Weigh, along each axis, every coarse pixel by ``weight(fine, coarse, stride)``, over the sum of the weights."""
    for axis, (n, s) in enumerate(zip(size, stride, strict=True)):
        coarse = x.shape[axis + 1]
        matrix = np.zeros((n, coarse))
        for j, i in itertools.product(range(n), range(-coarse, 2 * coarse)):
            if wraps:  # the fine map goes round: on a size that the stride does not divide, the last block is cut
                for turn in (-1, 0, 1):
                    if 0 <= i < coarse:
                        matrix[j, i] += weight(j + turn * n, i, s)
            elif 0 <= i < coarse:
                matrix[j, i] += weight(j, i, s)
        matrix /= matrix.sum(1, keepdims=True)
        x = np.moveaxis(np.tensordot(matrix, x, (1, axis + 1)), 0, axis + 1)
    return x


def triangle(phase):
    return lambda j, i, s: max(0.0, 1 - abs(j - s * i - ((s - 1) / 2 if phase is None else phase * (s > 1))) / s)


def binomial(taps):
    def weight(j, i, s):
        k = (taps or 2 * s + 1) if s > 1 else 1
        place = j - s * i + (k - 1) // 2
        return math.comb(k - 1, place) if 0 <= place < k else 0

    return weight


CASES = [  # coarse size, stride, fine size, padding
    ((4, 3), (2, 2), None, "CIRCULAR"),
    ((4, 3), (3, 2), (10, 5), "SYMMETRIC"),
    ((4, 3), (2, 1), (7, 3), "CIRCULAR"),
    ((5,), (2,), (9,), "REFLECT"),
    ((2, 3, 2), (2, 1, 2), None, "SAME"),
]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("coarse", "stride", "size", "padding"), CASES)
def test_fixed_filters_are_weighted_means_of_the_coarse_pixels(coarse, stride, size, padding, random):
    x = random.normal(size=(2, *coarse, 3))
    fine = size or tuple(n * s for n, s in zip(coarse, stride, strict=True))
    wraps = padding == "CIRCULAR"
    for phase in (None, 1):
        expected = spread(x, fine, stride, triangle(phase), wraps)
        y = linear_upsample(x, stride, size=size, phase=phase, padding=padding)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)
    for taps in (None, 4):
        expected = spread(x, fine, stride, binomial(taps), wraps)
        y = blur_upsample(x, stride, size=size, taps=taps, padding=padding)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)
    repeated = x
    for axis, s in enumerate(stride):
        repeated = repeated.repeat(s, axis + 1)
    np.testing.assert_array_equal(nearest_upsample(x, stride, size=size), repeated[:, *(slice(n) for n in fine)])


@pytest.mark.parametrize("stride", [2, 3])
def test_linear_is_jax_s_resize(stride, random):
    x = jnp.asarray(random.normal(size=(2, 4, 3, 2)), jnp.float32)
    expected = jax.image.resize(x, (2, 4 * stride, 3 * stride, 2), "linear")
    np.testing.assert_allclose(linear_upsample(x, stride), expected, rtol=1e-5, atol=1e-6)


def test_a_ramp_comes_back_where_it_was():
    """Sampled at a phase and interpolated from that phase, a ramp is itself, away from the rim."""
    ramp = jnp.arange(12.0).reshape(1, 12, 1)
    for phase in (0, 1, 2):
        y = linear_upsample(ramp[:, phase::3], 3, phase=phase)
        np.testing.assert_allclose(y[0, phase : 10 + phase, 0], ramp[0, phase : 10 + phase, 0], rtol=1e-6)


TRANSPOSED = [  # coarse size, kernel, stride, padding, dilation, fine size
    ((4, 3), (4, 4), (2, 2), "SYMMETRIC", (1, 1), None),
    ((4, 3), (3, 2), (2, 3), "SAME", (1, 1), (7, 9)),
    ((4, 3), (3, 4), (2, 2), "CIRCULAR", (1, 1), None),
    ((4, 3), (3, 3), (2, 2), "REFLECT", (1, 1), None),
    ((4, 3), (3, 2), (2, 1), "VALID", (2, 1), None),
    ((5,), (3,), (2,), 1, (1,), (10,)),
    ((2, 2, 3), (2, 2, 3), (2, 1, 2), ((0, 0), (1, 0), (1, 1)), (1, 1, 1), None),
]


def borders(padding, size, taps, stride, dilation):
    """Return the pads before the fine map, and for each axis where a position beyond the map comes from, -1 for nowhere."""
    lows = []
    for axis, (n, k, s, d) in enumerate(zip(size, taps, stride, dilation, strict=True)):
        reach = (k - 1) * d
        missing = max(0, (-(-n // s) - 1) * s + reach + 1 - n)
        rules = {
            "VALID": 0,
            "SAME": missing // 2,
            "SYMMETRIC": reach // 2,
            "CIRCULAR": reach // 2,
            "REFLECT": reach // 2,
        }
        explicit = padding if isinstance(padding, int) else padding[axis][0] if not isinstance(padding, str) else None
        lows.append(rules[padding] if isinstance(padding, str) else explicit)
    return lows


def place_on(n, position, padding):
    if padding == "CIRCULAR":
        return position % n
    if padding == "REFLECT":
        position = -position if position < 0 else position
        return 2 * (n - 1) - position if position >= n else position
    return position if 0 <= position < n else None


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("coarse", "taps", "stride", "padding", "dilation", "size"), TRANSPOSED)
def test_the_transposed_convolution_adds_a_kernel_for_every_pixel(
    coarse, taps, stride, padding, dilation, size, random
):
    x, kernel = random.normal(size=(2, *coarse, 3)), random.normal(size=(*taps, 3, 2))
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    y = conv_transpose(x, kernel, size=size, **options)
    if size is not None:
        assert y.shape[1:-1] == size
    fine = y.shape[1:-1]
    expected = np.zeros(y.shape)
    lows = borders(padding, fine, taps, stride, dilation)
    for i, t in itertools.product(np.ndindex(*coarse), np.ndindex(*taps)):
        positions = [s * a + d * b - low for s, a, d, b, low in zip(stride, i, dilation, t, lows, strict=True)]
        places = [place_on(n, p, padding) for n, p in zip(fine, positions, strict=True)]
        if None not in places:
            expected[:, *places] += x[:, *i] @ kernel[t]
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("float64")
def test_it_is_the_transpose_of_the_convolution(random):
    x, kernel, fine = (random.normal(size=shape) for shape in ((1, 4, 3, 2), (3, 3, 2, 5), (1, 8, 5, 5)))
    down = conv(fine, np.swapaxes(kernel, -1, -2), stride=2, padding="SYMMETRIC")
    up = conv_transpose(x, kernel, size=(8, 5))
    np.testing.assert_allclose((x * down).sum(), (fine * up).sum(), rtol=1e-12)


@pytest.mark.parametrize(("padding", "extra"), [(0, 0), (1, 0), (1, 1)])
def test_it_is_pytorch_s(padding, extra, random):
    torch = pytest.importorskip("torch")
    x, kernel = (random.normal(size=shape).astype(np.float32) for shape in ((2, 4, 3, 2), (4, 3, 2, 5)))
    expected = torch.nn.functional.conv_transpose2d(
        torch.from_numpy(x.transpose(0, 3, 1, 2).copy()),
        torch.from_numpy(kernel.transpose(2, 3, 0, 1).copy()),
        stride=2,
        padding=padding,
        output_padding=extra,
    )
    expected = expected.numpy().transpose(0, 2, 3, 1)
    y = conv_transpose(x, kernel, padding=padding, size=expected.shape[1:-1])
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("float64")
def test_gradients_against_differences(random):
    x, kernel = jnp.asarray(random.normal(size=(1, 3, 2, 2))), jnp.asarray(random.normal(size=(3, 4, 2, 2)))
    check_grads(jax.jit(lambda x: linear_upsample(x, (2, 3), phase=(1, 0))), (x,), order=1, modes=["rev"])
    check_grads(jax.jit(lambda x: blur_upsample(x, padding="CIRCULAR")), (x,), order=1, modes=["rev"])
    transposed = jax.jit(lambda x, kernel: conv_transpose(x, kernel, padding="CIRCULAR"))
    check_grads(transposed, (x, kernel), order=1, modes=["rev"])


# What all modules keep to


@every_upsampler
def test_every_size_that_a_stride_takes_there_can_come_back(name):
    for stride, padding in zip((2, 3, (2, 1), 2, 3), MODULE_PADDINGS, strict=True):
        if stride == 3 and name in WAVELETS:
            continue
        layer = build(name, 36, stride=stride, padding=padding)
        for fine in ((12, 9), (10, 7)):
            coarse = tuple(-(-n // s) for n, s in zip(fine, layer.stride, strict=True))
            x = jax.ShapeDtypeStruct((2, *coarse, 36), jnp.bfloat16)
            y = jax.eval_shape(lambda x: enlarge(layer, x, fine), x)  # noqa: B023
            assert y.shape == (2, *fine, layer.out_features)
            assert y.dtype == jnp.bfloat16


@pytest.mark.parametrize("axes", [1, 3])
@every_upsampler
def test_every_rank_doubles_and_has_a_gradient(name, axes, random):
    layer = build(name, axes=axes)
    x = jnp.asarray(random.normal(size=(1, *(3, 2, 2)[:axes], 8)), jnp.float32)
    y, back = jax.jit(lambda x: (enlarge(layer, x), jax.grad(lambda x: (enlarge(layer, x) ** 2).sum())(x)))(x)
    assert y.shape == (1, *(2 * n for n in x.shape[1:-1]), layer.out_features)
    assert np.isfinite(back).all()
    assert np.abs(back).max() > 0


@pytest.mark.parametrize("name", KEEPING)
def test_a_constant_stays_at_the_rim_too(name):
    for padding, size in (("SYMMETRIC", (7, 5)), ("CIRCULAR", (7, 5)), ("REFLECT", (8, 6))):
        y = build(name, padding=padding)(jnp.full((1, 4, 3, 8), 3.0), size=size)
        np.testing.assert_allclose(y, 3.0, rtol=1e-6)


@every_upsampler
def test_a_circular_shift_by_a_coarse_pixel_is_one_by_a_stride(name, random):
    layer = jax.jit(partial(enlarge, build(name, padding="CIRCULAR")))
    x = jnp.asarray(random.normal(size=(1, 4, 3, 8)), jnp.float32)
    expected = np.roll(layer(x), (2, 4), (1, 2))
    np.testing.assert_allclose(layer(jnp.roll(x, (1, 2), (1, 2))), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["nearest", "linear", "blur", "transposed_conv", "depth_to_space", "haar"])
def test_phase_is_the_centre_of_what_a_coarse_pixel_reaches(name):
    layer = build(name, 4)
    nnx.update(layer, jax.tree.map(jnp.ones_like, nnx.state(layer, nnx.Param)))
    x = np.zeros((1, 7, 7, 4), np.float32)
    x[0, 3, 3] = 1
    if name == "haar":
        x[..., 1:] = 0  # the low band reaches the whole block, all bands together a single pixel
    reached = np.argwhere(np.asarray(layer(jnp.asarray(x)))[0, :, :, 0] > 0)
    centre = (reached.min(0) + reached.max(0)) / 2
    np.testing.assert_array_equal(centre, [2 * 3 + p for p in layer.phase()])


def test_a_transposed_convolution_keeps_the_variance_of_a_rectified_map(random):
    layer = build("transposed_conv", 64)
    x = np.maximum(random.normal(size=(4, 16, 16, 64)), 0).astype(np.float32)
    y = np.asarray(layer(jnp.asarray(x)))[:, 2:-2, 2:-2]
    assert 0.9 < (y**2).mean() < 1.1  # half the variance of the normal map passes, and He's factor 2 gives it back


def test_counted_multiply_adds():
    assert build("nearest").macs((4, 3)) == 0
    assert build("linear").macs((4, 3)) == 8 * 6 * 4 * 8
    assert build("blur", stride=(2, 1)).macs((4, 3)) == 12 * 5 * 8
    assert build("spectral").macs((4, 3)) == (4 * 8 * 3 + 3 * 8 * 6) * 8
    assert build("depth_to_space").macs((4, 3)) == 0
    assert build("db2").macs((4, 3)) == 12 * 2 * 4 * 8
    assert upsampler("transposed_conv")(2, 5, rngs=nnx.Rngs(0)).macs((4, 3)) == 12 * 16 * 2 * 5


@every_upsampler
def test_wrong_arguments_are_refused(name):
    cls = upsampler(name)
    with pytest.raises(ValueError, match=f"{cls.__name__}: padding must be one of SAME, .* got 'VALID'"):
        build(name, padding="VALID")
    with pytest.raises(ValueError, match=f"{cls.__name__}: stride must be an int >= 1"):
        build(name, stride=0)
    layer = build(name)
    message = "size must be one that stride (2, 2) takes to (4, 3): 7 to 8, 5 to 6; got (9, 6)"
    with pytest.raises(ValueError, match=re.escape(message)):
        layer(jnp.ones((1, 4, 3, 8)), size=(9, 6))
    with pytest.raises(ValueError, match=re.escape("takes [batch, height, width, 8], got an input of shape (1, 4, 8)")):
        layer(jnp.ones((1, 4, 8)))
    if not cls.convolves:
        with pytest.raises(ValueError, match=f"{cls.__name__} (keeps its|makes . of) 8 channels, got out_features=5"):
            cls(8, 5)


def test_wrong_arguments_of_one_operator_are_refused():
    x = jnp.ones((1, 4, 3, 2))
    with pytest.raises(ValueError, match=r"phase must be 0 to stride - 1, .* got 2 at \(2, 2\)"):
        linear_upsample(x, phase=2)
    with pytest.raises(ValueError, match=r"taps must be at least 2 \* stride - 2, .* got 2 at \(3, 3\)"):
        blur_upsample(x, 3, taps=2)
    with pytest.raises(ValueError, match=r"kernel must be \[\*window, in_channels, out_channels\] .* got shape"):
        conv_transpose(x, jnp.ones((2, 2, 3, 2)))
    with pytest.raises(ValueError, match=r"size must be one that the convolution takes to \(4, 3\); it takes \(8, 8\)"):
        conv_transpose(x, jnp.ones((2, 2, 2, 2)), size=(8, 8))
    with pytest.raises(ValueError, match="NearestUpsample has no window to choose, got window=3"):
        build("nearest", window=3)
    with pytest.raises(ValueError, match=f"unknown upsampling operator 'unpool'; known: {', '.join(UPSAMPLERS)}"):
        upsampler("unpool")
    with pytest.raises(ValueError, match="DepthToSpace takes a multiple of 4 channels, got 6"):
        build("depth_to_space", 6)
    with pytest.raises(ValueError, match="HaarUpsample takes strides of 1 and 2 and a multiple of 9 channels"):
        build("haar", 18, stride=3)


# Down and up again


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("fine", "coarse"), [((8, 6), (4, 3)), ((9, 5), (5, 3))])
def test_spectral_upsampling_pads_the_spectrum(fine, coarse, random):
    x = random.normal(size=(2, *coarse, 3))
    expected = x
    for axis, m in enumerate(fine, start=1):
        n = expected.shape[axis]
        spectrum = np.moveaxis(np.fft.fft(expected, axis=axis), axis, -1)
        padded = np.zeros((*spectrum.shape[:-1], m), complex)
        for k in range(-(n // 2), n // 2 + 1):
            padded[..., k % m] += spectrum[..., k % n] * (0.5 if 2 * abs(k) == n else 1)
        expected = np.moveaxis(np.fft.ifft(padded, axis=-1).real * m / n, -1, axis)
    np.testing.assert_allclose(spectral_upsample(x, size=fine), expected, rtol=1e-11, atol=1e-12)
    if fine == (8, 6):
        np.testing.assert_allclose(spectral_upsample(x)[:, ::2, ::2], x, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "size", "padding"),
    [("space_to_depth", (5, 7), "SAME"), ("haar_all", (5, 7), "SAME"), ("db2_all", (6, 8), "CIRCULAR")],
)
def test_where_nothing_is_lost_the_way_back_is_the_inverse(name, size, padding, random):
    x = jnp.asarray(random.normal(size=(2, *size, 3)), jnp.float32)
    down = downsampler(name)(3, padding=padding)
    up = way_back(name, down, size)
    np.testing.assert_allclose(up(down(x), size=size), x, rtol=1e-5, atol=1e-6)


def test_what_spectral_pooling_leaves_comes_back_whole(random):
    x = jnp.asarray(random.normal(size=(1, 5, 7, 2)), jnp.float32)  # odd sizes have no Nyquist frequency
    fine = spectral_upsample(x, size=(10, 14))
    np.testing.assert_allclose(spectral_pool(fine), x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "padding"),
    [
        ("avg_pool", "SYMMETRIC"),
        ("blur_pool", "REFLECT"),
        ("blur_pool", "SAME"),
        ("resize", "SAME"),
        ("db2_low", "REFLECT"),
    ],
)
def test_a_ramp_comes_back_to_its_place(name, padding):
    """The way back starts from the filter's own phase: what goes down and up again has not moved, away from the rim."""
    ramp = np.broadcast_to(np.arange(16.0)[None, :, None, None], (1, 16, 12, 1)).astype(np.float32)
    down = downsampler(name)(1, padding=padding)
    gain = 2.0 if name == "db2_low" else 1.0
    up = way_back(name, down, (16, 12))
    y = np.asarray(up(down(jnp.asarray(ramp)) / gain, size=(16, 12)))
    np.testing.assert_allclose(y[:, 4:11, 4:8], ramp[:, 4:11, 4:8], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("max_pool", BlurPool(2), (7, 7)), "layer must be the operator max_pool, MaxPool, got BlurPool"),
        (("blur_pool", None, (7, 7)), "layer must be the operator blur_pool, BlurPool, got NoneType"),
        (("blur_pool", BlurPool(2), (7,)), r"map_size must be an int >= 1 or 2 of them .*, got \(7,\)"),
        (("blur_pool", BlurPool(2), (7, 7.5)), r"map_size must be .*, got \(7, 7.5\)"),
    ],
)
def test_a_way_back_of_something_else_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        way_back(*arguments)


def test_every_downsampler_has_a_way_back():
    for name, entry in DOWNSAMPLERS.items():
        assert entry.upsampler in UPSAMPLERS
        down = entry.main(8, padding="SAME", rngs=nnx.Rngs(0))
        up = way_back(name, down, (7, 8))
        x = jax.ShapeDtypeStruct((1, 4, 4, down.out_features), jnp.float32)
        assert jax.eval_shape(lambda x: enlarge(up, x, (7, 8)), x).shape == (1, 7, 8, 8)  # noqa: B023
