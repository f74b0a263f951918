import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from operators import reference

import strideflax
from strideflax import conv, output_size

EXACT = {"rtol": 1e-12, "atol": 1e-12}  # float64: only the order of sums differs

# size, window, stride, padding, dilation, groups, in_channels, out_channels, flip_kernel
CASES = [
    # one axis
    ((9,), (3,), (1,), "VALID", (1,), 1, 2, 3, False),
    ((9,), (4,), (1,), "SAME", (2,), 1, 2, 3, True),
    ((10,), (3,), (2,), "SAME", (1,), 1, 2, 3, False),
    ((10,), (4,), (2,), "SAME_LOWER", (1,), 1, 3, 2, False),
    ((11,), (5,), (3,), "SYMMETRIC", (2,), 1, 2, 2, True),
    ((11,), (4,), (3,), "CIRCULAR", (1,), 2, 4, 2, False),
    ((8,), (4,), (4,), "REFLECT", (1,), 1, 1, 2, False),
    ((12,), (3,), (4,), 2, (3,), 1, 2, 2, False),
    ((7,), (2,), (2,), ((3, 0),), (1,), 3, 3, 6, False),
    ((13,), (1,), (4,), "VALID", (1,), 1, 2, 2, False),
    ((24,), (3,), (2,), "SAME", (4,), 1, 2, 2, False),
    ((9,), (7,), (2,), "SYMMETRIC", (1,), 1, 16, 3, False),
    # two axes
    ((7, 8), (3, 3), (1, 1), "SAME", (1, 1), 1, 2, 3, False),
    ((7, 8), (3, 2), (1, 1), "REFLECT", (2, 1), 1, 2, 3, True),
    ((7, 8), (3, 3), (2, 2), "VALID", (1, 1), 1, 2, 3, False),
    ((8, 7), (3, 3), (2, 2), "SAME", (1, 1), 1, 2, 3, False),
    ((8, 7), (3, 3), (2, 2), "SAME_LOWER", (1, 1), 1, 2, 3, True),
    ((8, 9), (7, 7), (2, 2), "SYMMETRIC", (1, 1), 1, 3, 2, False),
    ((8, 7), (4, 3), (2, 2), "CIRCULAR", (1, 1), 1, 2, 3, False),
    ((8, 7), (5, 4), (2, 2), "REFLECT", (1, 1), 1, 2, 2, False),
    ((9, 6), (2, 2), (2, 1), "SAME", (1, 1), 1, 2, 2, False),
    ((9, 6), (3, 3), (2, 1), "SYMMETRIC", (1, 1), 1, 2, 2, True),
    ((6, 9), (3, 5), (1, 3), "SYMMETRIC", (1, 1), 1, 2, 2, False),
    ((9, 10), (3, 3), (3, 3), 1, (1, 1), 1, 2, 3, False),
    ((9, 10), (4, 4), (3, 2), ((2, 0), (1, 3)), (1, 1), 1, 2, 2, False),
    ((9, 10), (2, 3), (4, 4), "SAME", (1, 1), 1, 2, 2, False),
    ((9, 10), (5, 4), (4, 3), (2, (0, 1)), (1, 1), 1, 2, 2, True),
    ((11, 10), (3, 2), (2, 3), "VALID", (2, 2), 1, 2, 2, False),
    ((11, 10), (3, 3), (2, 4), "SYMMETRIC", (3, 2), 1, 2, 2, False),
    ((9, 9), (3, 3), (2, 2), "SAME", (2, 4), 1, 2, 2, True),
    ((8, 8), (3, 3), (2, 2), "SYMMETRIC", (1, 1), 2, 4, 6, False),
    ((8, 8), (3, 3), (2, 2), "SYMMETRIC", (1, 1), 4, 4, 4, False),  # depthwise
    ((8, 8), (2, 3), (3, 2), "CIRCULAR", (1, 1), 3, 3, 6, True),  # depthwise, two outputs a channel
    ((7, 7), (3, 3), (1, 1), "SYMMETRIC", (1, 1), 3, 3, 3, False),
    ((7, 8), (1, 1), (2, 2), "VALID", (1, 1), 1, 4, 3, False),
    ((7, 8), (1, 1), (2, 3), ((1, 0), (2, 2)), (1, 1), 1, 2, 3, False),  # pads wider than the window
    ((5, 5), (5, 5), (4, 4), "VALID", (1, 1), 1, 2, 2, False),  # one output
    ((1, 1), (3, 3), (2, 2), "SYMMETRIC", (1, 1), 1, 2, 2, False),
    ((8, 7), (3, 3), (2, 2), "SAME", (1, 1), 1, 16, 3, False),  # 16 inputs and more: a product per tap
    ((8, 7), (2, 3), (3, 2), "REFLECT", (2, 1), 1, 17, 2, True),
    ((9, 6), (1, 1), (2, 1), "VALID", (1, 1), 1, 16, 2, False),
    ((6, 6), (3, 3), (2, 2), "SYMMETRIC", (1, 1), 2, 32, 4, False),
    # three axes
    ((4, 5, 6), (3, 3, 3), (1, 1, 1), "SAME", (1, 1, 1), 1, 2, 2, False),
    ((4, 5, 6), (2, 3, 2), (2, 2, 2), "SYMMETRIC", (1, 1, 1), 1, 2, 2, True),
    ((5, 5, 6), (3, 1, 2), (1, 2, 3), "CIRCULAR", (1, 1, 2), 2, 2, 4, False),
    ((5, 4, 6), (2, 2, 3), (3, 1, 2), ((1, 0), (0, 0), (2, 1)), (1, 2, 1), 1, 16, 2, False),
]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)).replace(" ", ""))
def test_values_and_gradients_are_the_definition_s(case, random):
    size, window, stride, padding, dilation, groups, inputs, outputs, flip = case
    x = random.normal(size=(2, *size, inputs))
    kernel = random.normal(size=(*window, inputs // groups, outputs))
    expected = reference.conv(x, kernel, stride, padding, dilation, groups, flip)
    dy = random.normal(size=expected.shape)

    @jax.jit
    def both(x, kernel, dy):
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "flip_kernel": flip}
        y, pullback = jax.vjp(lambda x, kernel: conv(x, kernel, **options), x, kernel)
        return y, *pullback(dy)

    y, dx, dkernel = both(x, kernel, dy)
    expected_dx, expected_dkernel = reference.conv_gradients(x, kernel, dy, stride, padding, dilation, groups, flip)
    np.testing.assert_allclose(y, expected, **EXACT)
    np.testing.assert_allclose(dx, expected_dx, **EXACT)
    np.testing.assert_allclose(dkernel, expected_dkernel, **EXACT)
    assert y.shape[1:-1] == output_size(size, window, stride=stride, padding=padding, dilation=dilation)


def test_the_five_by_five_example():
    x = jnp.arange(1.0, 26.0).reshape(1, 5, 5, 1)
    kernel = jnp.full((3, 3, 1, 1), 0.11)
    dense = [[6.93, 7.92, 8.91], [11.88, 12.87, 13.86], [16.83, 17.82, 18.81]]
    np.testing.assert_allclose(conv(x, kernel, padding="VALID")[0, ..., 0], dense, rtol=1e-6)
    np.testing.assert_allclose(
        conv(x, kernel, stride=2, padding="VALID")[0, ..., 0], [[6.93, 8.91], [16.83, 18.81]], rtol=1e-6
    )


def test_the_imagenet_stem_halves_224():
    x, kernel = jnp.zeros((1, 224, 224, 3)), jnp.zeros((7, 7, 3, 64))
    for padding in ("SYMMETRIC", 3, "SAME"):
        assert jax.eval_shape(lambda x, k: conv(x, k, stride=2, padding=padding), x, kernel).shape == (1, 112, 112, 64)  # noqa: B023


def test_default_is_stride_1_and_same_size():
    x = jnp.arange(6.0).reshape(1, 6, 1)
    np.testing.assert_array_equal(conv(x, jnp.ones((3, 1, 1)))[0, :, 0], [1, 3, 6, 9, 12, 9])


def test_flip_kernel_is_numpy_s_convolution(random):
    signal, kernel = random.integers(-5, 6, 12).astype(np.float32), random.integers(-5, 6, 4).astype(np.float32)
    x, weights = signal.reshape(1, -1, 1), kernel.reshape(-1, 1, 1)
    y = conv(x, weights, padding="VALID", flip_kernel=True)[0, :, 0]
    np.testing.assert_array_equal(y, np.convolve(signal, kernel, "valid"))
    y = conv(x, weights, padding="VALID")[0, :, 0]
    np.testing.assert_array_equal(y, np.correlate(signal, kernel, "valid"))


def test_a_stride_reads_the_dense_result_at_every_s_th_position():
    x = jnp.arange(2 * 9 * 8 * 2.0).reshape(2, 9, 8, 2) % 7
    kernel = jnp.arange(3 * 3 * 2 * 2.0).reshape(3, 3, 2, 2) % 5
    dense = conv(x, kernel, padding=1)
    np.testing.assert_array_equal(conv(x, kernel, stride=(2, 3), padding=1), dense[:, ::2, ::3])


def test_circular_and_reflect_fill_the_border_by_hand():
    x = jnp.array([1.0, 2, 3, 4]).reshape(1, 4, 1)
    two_sided = jnp.array([10.0, 0, 1]).reshape(3, 1, 1)
    np.testing.assert_array_equal(conv(x, two_sided, padding="CIRCULAR")[0, :, 0], [42, 13, 24, 31])
    np.testing.assert_array_equal(conv(x, two_sided, padding="REFLECT")[0, :, 0], [22, 13, 24, 33])


@pytest.mark.parametrize(("one", "other"), [("float32", "bfloat16"), ("bfloat16", "bfloat16"), ("float16", "float32")])
def test_computes_in_the_promoted_type(one, other):
    y = conv(jnp.ones((1, 4, 2), one), jnp.ones((2, 2, 1), other), stride=2)
    assert y.dtype == jnp.promote_types(one, other)
    np.testing.assert_array_equal(y, np.full((1, 2, 1), 4))


def test_numpy_arguments_pass():
    y = conv(np.ones((1, 4, 2), np.float32), np.ones((2, 2, 3), np.float32), stride=np.int64(2))
    assert y.shape == (1, 2, 3)


# Derivatives beyond the gradient, on one strided shape per formulation of the derivative


def matrix_of(linear, size):
    """Return the matrix of a linear function of an array of ``size``, column by column."""
    return np.stack([linear(unit.reshape(size)).ravel() for unit in np.eye(int(np.prod(size)))], axis=1)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("inputs", [2, 16])
def test_derivatives_forwards_and_of_second_order(inputs, random):
    stride, padding = (2, 1), "SYMMETRIC"
    x, dx = random.normal(size=(2, 1, 5, 2, inputs))
    kernel, dkernel = random.normal(size=(2, 3, 2, inputs, 2))

    def f(x, kernel):
        return conv(x, kernel, stride=stride, padding=padding)

    def plain(x, kernel):
        return reference.conv(x, kernel, stride, padding, (1, 1))

    y, tangent = jax.jvp(f, (x, kernel), (dx, dkernel))
    np.testing.assert_allclose(y, plain(x, kernel), **EXACT)
    np.testing.assert_allclose(tangent, plain(dx, kernel) + plain(x, dkernel), **EXACT)
    np.testing.assert_allclose(jax.jvp(lambda x: f(x, kernel), (x,), (dx,))[1], plain(dx, kernel), **EXACT)
    np.testing.assert_allclose(jax.jvp(lambda k: f(x, k), (kernel,), (dkernel,))[1], plain(x, dkernel), **EXACT)

    # The Hessian of |A x|^2 / 2 is A^T A; likewise in the kernel.
    in_x, in_kernel = matrix_of(lambda v: plain(v, kernel), x.shape), matrix_of(lambda v: plain(x, v), kernel.shape)
    hessian = jax.jit(jax.hessian(lambda x, kernel: (f(x, kernel) ** 2).sum() / 2, argnums=(0, 1)))(x, kernel)
    np.testing.assert_allclose(hessian[0][0].reshape(x.size, x.size), in_x.T @ in_x, **EXACT)
    np.testing.assert_allclose(hessian[1][1].reshape(kernel.size, kernel.size), in_kernel.T @ in_kernel, **EXACT)

    # Reverse over reverse, y linear in each argument: <dkernel, d/dkernel <dx, d/dx <1, y>>> = <1, conv(dx, dkernel)>.
    def along_x(kernel):
        return (jax.grad(lambda x: f(x, kernel).sum())(x) * dx).sum()

    mixed = (jax.grad(along_x)(kernel) * dkernel).sum()
    np.testing.assert_allclose(mixed, plain(dx, dkernel).sum(), **EXACT)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("inputs", [2, 16])
def test_vmap_is_a_loop_in_values_and_gradients(inputs, random):
    x, kernel = random.normal(size=(3, 2, 6, 5, inputs)), random.normal(size=(3, 3, 2, inputs, 2))

    def loss(x, kernel):
        return (conv(x, kernel, stride=2) ** 2).sum()

    gradient = jax.value_and_grad(loss, argnums=(0, 1))
    for batched, axes in [((x, kernel), (0, 0)), ((x[0], kernel), (None, 0)), ((x, kernel[0]), (0, None))]:
        values, gradients = jax.vmap(gradient, in_axes=axes)(*batched)
        for i in range(3):
            one = [a if axis is None else a[i] for a, axis in zip(batched, axes, strict=True)]
            y = reference.conv(*one, (2, 2), "SAME", (1, 1))
            np.testing.assert_allclose(values[i], (y**2).sum(), **EXACT)
            for ours, plain in zip(
                gradients, reference.conv_gradients(*one, 2 * y, (2, 2), "SAME", (1, 1)), strict=True
            ):
                np.testing.assert_allclose(ours[i], plain, **EXACT)


@pytest.mark.parametrize("implementation", ["auto", "taps", "phases"])
def test_vmap_over_kernels_and_over_no_images(implementation, random):
    x, kernels = random.normal(size=(3, 0, 6, 5, 4)), random.normal(size=(3, 3, 3, 4, 2))
    x, kernels = x.astype(np.float32), kernels.astype(np.float32)

    def shrink(x, kernel):
        return conv(x, kernel, stride=2, implementation=implementation)

    assert jax.vmap(shrink, in_axes=(0, None))(x, kernels[0]).shape == (3, 0, 3, 3, 2)
    images = random.normal(size=(2, 6, 5, 4)).astype(np.float32)
    for y, kernel in zip(jax.vmap(shrink, in_axes=(None, 0))(images, kernels), kernels, strict=True):
        np.testing.assert_allclose(y, reference.conv(images, kernel, (2, 2), "SAME", (1, 1)), rtol=1e-4, atol=1e-5)
    assert jax.vmap(shrink)(x, kernels).shape == (3, 0, 3, 3, 2)
    assert jax.vmap(jax.grad(lambda x, kernel: shrink(x, kernel).sum(), 1))(x, kernels).shape == kernels.shape


# Shapes on which XLA's own input gradient aborts the process

FATAL = [
    ((6, 9), (2, 4), ((1, 1), (0, 0))),
    ((6, 8), (2, 4), ((1, 1), (0, 0))),
    ((8, 9), (2, 4), ((1, 1), (0, 0))),
    ((4, 9), (2, 4), ((1, 1), (0, 0))),
    ((9, 6), (4, 2), ((0, 0), (1, 1))),
]
CHILD = """
import sys
import jax, numpy as np
from strideflax import conv
arrays = dict(np.load(sys.argv[1]))
for i, pads in enumerate({pads}):
    x, kernel, dy = (arrays[f"{{name}}{{i}}"] for name in ("x", "kernel", "dy"))
    y, pullback = jax.vjp(lambda x, kernel: conv(x, kernel, stride=(2, 2), padding=pads), x, kernel)
    arrays[f"y{{i}}"], (arrays[f"dx{{i}}"], arrays[f"dkernel{{i}}"]) = y, jax.jit(pullback)(dy)
np.savez(sys.argv[1], **arrays)
"""


@pytest.mark.parametrize("channels", [1, 16])
def test_no_geometry_aborts_the_process(channels, random, tmp_path):
    arrays = {}
    for i, (size, window, pads) in enumerate(FATAL):
        arrays[f"x{i}"] = random.normal(size=(1, *size, channels))
        arrays[f"kernel{i}"] = random.normal(size=(*window, channels, 2))
        outputs = output_size(size, window, stride=2, padding=pads)
        arrays[f"dy{i}"] = random.normal(size=(1, *outputs, 2))
    np.savez(tmp_path / "arrays.npz", **arrays)
    root = str(Path(strideflax.__file__).parents[1])
    child = subprocess.run(
        [sys.executable, "-c", CHILD.format(pads=[pads for *_, pads in FATAL]), str(tmp_path / "arrays.npz")],
        env={**os.environ, "PYTHONPATH": root, "JAX_ENABLE_X64": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    arrays = np.load(tmp_path / "arrays.npz")
    for i, (*_, pads) in enumerate(FATAL):
        x, kernel, dy = (arrays[f"{name}{i}"] for name in ("x", "kernel", "dy"))
        np.testing.assert_allclose(arrays[f"y{i}"], reference.conv(x, kernel, (2, 2), pads, (1, 1)), **EXACT)
        dx, dkernel = reference.conv_gradients(x, kernel, dy, (2, 2), pads, (1, 1))
        np.testing.assert_allclose(arrays[f"dx{i}"], dx, **EXACT)
        np.testing.assert_allclose(arrays[f"dkernel{i}"], dkernel, **EXACT)


# A program that XLA for CPU of jax 0.12.0.1 fuses into one call that reads memory it never wrote


@pytest.mark.parametrize("implementation", ["auto", "lax", "taps", "phases"])
def test_a_bfloat16_block_and_the_mean_behind_it(implementation, random):
    def array(*shape):
        return jnp.asarray(random.normal(size=shape), jnp.bfloat16)

    def normalized_conv(x, kernel, stride=1):
        y = conv(
            x, kernel / kernel[..., 0].size ** 0.5, stride=stride, padding="SYMMETRIC", implementation=implementation
        )
        return (y - shift) * shift + shift

    def block(x):
        y = normalized_conv(jax.nn.relu(normalized_conv(x, first, 2)), second)
        return jax.nn.relu(y + normalized_conv(x, shortcut, 2)).mean((1, 2))

    x, first, second, shortcut = (
        array(2, 8, 8, 128),
        array(3, 3, 128, 256),
        array(3, 3, 256, 256),
        array(1, 1, 128, 256),
    )
    shift = array(1, 1, 1, 256)
    np.testing.assert_allclose(
        np.asarray(jax.jit(block)(x), float), np.asarray(block(x), float), rtol=2**-6, atol=2**-6
    )


# Errors say what was expected and what came

X, KERNEL = np.zeros((2, 8, 9, 4), np.float32), np.zeros((3, 3, 4, 6), np.float32)


@pytest.mark.parametrize("shape", [(), (4,), (8, 4), (1, 2, 3, 4, 5, 6)])
def test_inputs_have_one_to_three_spatial_axes(shape):
    with pytest.raises(ValueError, match=re.escape(f"1, 2 or 3 spatial axes, got shape {shape}")):
        conv(np.zeros(shape), KERNEL)


@pytest.mark.parametrize("shape", [(2, 0, 9, 4), (2, 8, 9, 0)])
def test_inputs_have_no_empty_axis(shape):
    with pytest.raises(ValueError, match=re.escape(f"no empty spatial or channel axis, got shape {shape}")):
        conv(np.zeros(shape), KERNEL)


@pytest.mark.parametrize("shape", [(3, 4, 6), (3, 3, 3, 4, 6), (4, 6), (3, 3, 4, 0), (0, 3, 4, 6)])
def test_kernel_rank_follows_the_input_and_no_axis_is_empty(shape):
    expected = f"with 4 axes, none empty, for an input of shape (2, 8, 9, 4), got shape {shape}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        conv(X, np.zeros(shape))


@pytest.mark.parametrize(
    ("shape", "groups", "message"),
    [
        ((3, 3, 3, 6), 1, "expects 3 input channels and output channels divisible by 1, got 4 input and 6 output"),
        ((3, 3, 4, 6), 2, "expects 8 input channels and output channels divisible by 2, got 4 input and 6 output"),
        ((3, 3, 1, 6), 4, "expects 4 input channels and output channels divisible by 4, got 4 input and 6 output"),
    ],
)
def test_channels_fit_the_groups(shape, groups, message):
    with pytest.raises(ValueError, match=re.escape(f"kernel {shape} with groups={groups} {message}")):
        conv(X, np.zeros(shape), groups=groups)


@pytest.mark.parametrize("groups", [0, -1, 1.5, True, (1, 1)])
def test_groups_is_a_positive_int(groups):
    with pytest.raises(ValueError, match=re.escape(f"groups must be an int >= 1, got {groups!r}")):
        conv(X, KERNEL, groups=groups)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2", None, (2,), (1, 2, 3), (2, 0)])
@pytest.mark.parametrize("name", ["stride", "dilation"])
def test_strides_and_dilations_are_positive_ints(name, value):
    expected = f"{name} must be an int >= 1 or 2 of them (one per spatial axis), got {value!r}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        conv(X, KERNEL, **{name: value})


@pytest.mark.parametrize("padding", ["same", "VALIDE", -1, True, None, 0.5, (1,), (1, -1), ((1, 1, 1), 0), (True, 1)])
def test_unknown_paddings_are_refused(padding):
    with pytest.raises(ValueError, match="padding must be ") as error:
        conv(X, KERNEL, padding=padding)
    assert str(error.value).endswith(f"got {padding!r}")


def test_empty_outputs_are_refused():
    with pytest.raises(ValueError, match=r"empty output: a window of extent 9 .* in size 8 with padding \(0, 0\)"):
        conv(X, KERNEL, dilation=4, padding="VALID")


@pytest.mark.parametrize(("padding", "limit"), [("CIRCULAR", 2), ("REFLECT", 1)])
def test_borders_wider_than_the_map_are_refused(padding, limit):
    message = rf"padding {padding} needs a border of 3 .*size 2 can fill at most {limit}; use SAME or SYMMETRIC"
    with pytest.raises(ValueError, match=message):
        conv(np.zeros((1, 2, 1)), np.zeros((7, 1, 1)), padding=padding)


MIXED = """
import jax, jax.numpy as jnp
from strideflax import conv
x, kernel = jnp.ones((1, 6, 9, 1)), jnp.ones((2, 4, 1, 1))
f = lambda x, kernel: conv(x, kernel, stride=2, padding=((1, 1), (0, 0)))
print(float(jax.grad(lambda x: jax.jvp(lambda k: f(x, k), (kernel,), (kernel,))[1].sum())(x).sum()))
print(float(jax.grad(lambda x: f(x, kernel).sum())(x).sum()))
"""


def test_a_derivative_of_a_derivative_does_not_abort_either():
    """The kernel's tangent is a function of the input too; its gradient must not fall back on XLA's."""
    done = subprocess.run([sys.executable, "-c", MIXED], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    mixed, plain = done.stdout.split()
    assert mixed == plain
