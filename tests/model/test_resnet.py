import dataclasses
import math
import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from operators import reference

from configs.baseline import baseline
from strideflax.config import Config, ModelConfig
from strideflax.model import MiniResNet

FIRST = ("strided_conv", "subsample", "max_pool", "avg_pool", "conv_pool", "blur_pool", "max_blur")


def small(stem=None, **changes) -> ModelConfig:
    config = Config.from_dict(baseline("quick").to_dict()).model
    values = {"widths": (4, 8), "blocks": (1, 1), "strides": (1, 2), **changes}
    return dataclasses.replace(
        config, stem=dataclasses.replace(config.stem, **{"kernel": 3, "stride": 2, **(stem or {})}), **values
    )


@cache
def build(config, seed=0) -> MiniResNet:
    return MiniResNet(config, key=jax.random.key(seed))


def traced(config) -> MiniResNet:
    """Return the model with shapes in place of arrays, which costs no compilation."""
    return nnx.eval_shape(lambda key: MiniResNet(config, key=key), jax.random.key(0))


def output(config, *size, method="__call__"):
    """Return shape and type of the logits (or features) of images of ``size``."""
    graph, state = nnx.split(traced(config))
    images = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    return jax.eval_shape(lambda state, x: getattr(nnx.merge(graph, state), method)(x), state, images)


def parameters(model) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in leaves}


def statistics(model) -> list[np.ndarray]:
    return [np.array(leaf) for leaf in jax.tree.leaves(nnx.state(model, nnx.BatchStat))]


def images(random, *size):
    return jnp.asarray(random.normal(size=(2, *size, 3)), jnp.float32)


# Shapes


@pytest.mark.parametrize("operator", FIRST)
def test_maps_shrink_by_each_stride_rounded_up(operator):
    for placement in ("before", "after"):
        config = small(downsample=operator, stem={"downsample": operator}, placement=placement)
        for size in [(16, 16), (17, 13), (5, 9), (1, 2)]:
            expected = [math.ceil(n / 4) for n in size]
            assert output(config, *size, method="features").shape == (2, *expected, 8)
            assert output(config, *size).shape == (2, 10)


@pytest.mark.parametrize("padding", ["SAME", "SAME_LOWER", "SYMMETRIC", "CIRCULAR", "REFLECT"])
@pytest.mark.parametrize("operator", FIRST)
def test_every_padding_gives_the_same_shape(operator, padding):
    config = small(downsample=operator, stem={"downsample": operator}, padding=padding)
    assert output(config, 17, 14, method="features").shape == (2, 5, 4, 8)


def test_strides_may_differ_per_axis():
    config = small(strides=(1, (2, 1)), stem={"stride": (1, 2)}, downsample="blur_pool")
    assert output(config, 16, 17, method="features").shape == (2, 8, 9, 8)


def test_the_baseline_s_shapes():
    config = Config.from_dict(baseline().to_dict()).model
    assert output(config, 32, 32, method="features").shape == (2, 4, 4, 256)
    shapes = [leaf.shape for leaf in jax.tree.leaves(nnx.state(traced(config), nnx.Param))]
    assert (7, 7, 3, 64) in shapes
    convolutions = 7 * 7 * 3 * 64 + 9 * (64 * 64 * 2 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256)
    shortcuts, norms = 64 * 128 + 128 * 256, 2 * (64 * 3 + 128 * 3 + 256 * 3)
    assert sum(int(np.prod(shape)) for shape in shapes) == convolutions + shortcuts + norms + 256 * 10 + 10


def test_a_stem_pool_halves_once_more():
    for pool in ("max_pool", "blur_pool"):
        assert output(small(stem={"pool": pool}), 32, 30, method="features").shape == (2, 4, 4, 8)


def test_a_border_that_cannot_be_filled_is_refused():
    config = small(padding="REFLECT")
    with pytest.raises(ValueError, match=r"REFLECT needs a border of .*; use SAME or SYMMETRIC"):
        output(config, 2, 2)


# Values: the architecture, written out in NumPy


def norm(x):
    return x / np.sqrt(1 + 1e-5)  # BatchNorm at its start: mean 0, variance 1, scale 1, shift 0


def relu(x):
    return np.maximum(x, 0)


def plain(x, kernel, stride=1):
    return reference.conv(x, kernel, (stride, stride), kernel.shape[0] // 2, (1, 1))


def halved(x):
    return reference.avg_pool(x, (2, 2), (2, 2), ((0, 1), (0, 1)), (1, 1))  # does not commute with ReLU, as max would


def block(x, reduction, conv, shortcut):
    return relu(norm(plain(reduction(x), conv)) + shortcut(x))


def test_logits_are_those_of_the_architecture_in_its_docstring(random):
    x = images(random, 10, 12)
    x64 = np.asarray(x, np.float64)
    for operator, placement in [("strided_conv", "after"), ("avg_pool", "after"), ("avg_pool", "before")]:
        config = small(downsample=operator, placement=placement, stem={"pool": "avg_pool"})
        model = build(config)
        p = parameters(model)
        stem, first, one, second, two, projection = (
            p[next(name for name in p if re.fullmatch(pattern, name))]
            for pattern in (
                r"stem\.layers\.\d\.kernel",
                r"blocks\.0\.reduction\.layers\.\d\.kernel",
                r"blocks\.0\.conv\.kernel",
                r"blocks\.1\.reduction\.layers\.\d\.kernel",
                r"blocks\.1\.conv\.kernel",
                r"blocks\.1\.shortcut\.layers\.\d\.kernel",
            )
        )

        def reduction(x, second=second, operator=operator, placement=placement):
            if operator == "strided_conv":
                return relu(norm(plain(x, second, 2)))
            if placement == "before":
                return relu(norm(plain(halved(x), second)))
            return halved(relu(norm(plain(x, second))))

        def shortcut(x, projection=projection, operator=operator):
            return norm(plain(x, projection, 2) if operator == "strided_conv" else plain(halved(x), projection))

        y = halved(relu(norm(plain(x64, stem, 2))))
        y = block(y, lambda x, first=first: relu(norm(plain(x, first))), one, lambda x: x)
        y = block(y, reduction, two, shortcut)
        expected = y.mean((1, 2)) @ p["head.kernel"] + p["head.bias"]
        logits = jax.jit(lambda x, model=model: model(x))(x)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_an_added_operator_is_a_layer_of_its_own_before_the_convolution(random):
    config = small(placement="added", residual=False)
    x, p = images(random, 10, 12), parameters(build(config))
    one, first, two, added, second, stem = (p[name] for name in p if name.endswith("kernel") and "head" not in name)
    assert (added.shape, second.shape) == ((3, 3, 4, 4), (3, 3, 4, 8))
    y = relu(norm(plain(np.asarray(x, np.float64), stem, 2)))
    for kernel, stride in ((first, 1), (one, 1), (added, 2), (second, 1), (two, 1)):
        y = relu(norm(plain(y, kernel, stride)))
    expected = y.mean((1, 2)) @ p["head.kernel"] + p["head.bias"]
    np.testing.assert_allclose(build(config)(x), expected, rtol=1e-4, atol=1e-5)
    base = parameters(build(small(downsample="max_pool", placement="added", residual=False)))
    for name, kernel in base.items():  # the same net with a pool there: what they share starts equal
        assert any(np.array_equal(kernel, other) for other in p.values()), name


# Initial values


def kernels(config, seed=0):
    """Return the parameters in the order of the layers, whatever they are called."""
    return list(parameters(build(config, seed)).values())


@pytest.mark.parametrize("operator", FIRST)
def test_layers_that_two_operators_share_start_equal(operator):
    ours = kernels(small(downsample=operator, stem={"downsample": operator}))
    for mine, other in zip(ours, kernels(small()), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_more_blocks_and_other_placements_leave_shared_layers_as_they_were():
    base, deeper = parameters(build(small())), parameters(build(small(blocks=(1, 2))))
    shared = [path for path in base if path in deeper]
    assert len(shared) == len(base)
    for path in shared:
        np.testing.assert_array_equal(base[path], deeper[path])
    placed = [kernels(small(downsample="max_pool", placement=placement)) for placement in ("before", "after")]
    for before, after in zip(*placed, strict=True):
        np.testing.assert_array_equal(before, after)


def test_the_key_decides_and_layers_differ():
    base = parameters(build(small()))
    again = parameters(MiniResNet(small(), key=jax.random.key(0)))
    other = parameters(build(small(), seed=1))
    kernel_names = [path for path in base if path.endswith("kernel")]
    assert len(kernel_names) == 7
    for path, value in base.items():
        np.testing.assert_array_equal(value, again[path])
        assert (value != other[path]).any() == (path in kernel_names), path
    # No two layers draw from the same stream: two kernels of one shape differ everywhere.
    first, second = (base[path] for path in kernel_names if base[path].shape == (3, 3, 4, 4))
    assert (first != second).all()


# Training


def test_training_updates_the_statistics_and_evaluation_reads_them(random):
    config = small(batch_norm_momentum=0.75, stem={"stride": 1})
    model = MiniResNet(config, key=jax.random.key(0))
    x = images(random, 6, 6)
    before = statistics(model)
    nnx.jit(lambda model, x: model(x))(model, x)
    for old, new in zip(before, statistics(model), strict=True):
        np.testing.assert_array_equal(old, new)
    evaluated = nnx.jit(lambda model, x: model(x))(model, x)
    nnx.jit(lambda model, x: model(x, train=True))(model, x)
    after = statistics(model)
    for old, new in zip(before, after, strict=True):
        assert (old != new).all()
    assert (nnx.jit(lambda model, x: model(x))(model, x) != evaluated).any()
    stem = plain(np.asarray(x, np.float64), np.asarray(model.stem.layers[0].kernel[...]))
    moments = model.stem.layers[1]
    np.testing.assert_allclose(moments.mean[...], 0.25 * stem.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(moments.var[...], 0.75 + 0.25 * stem.var((0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize(
    "config", [small(), small(downsample="max_blur", placement="before", stem={"pool": "avg_pool"})]
)
def test_every_parameter_gets_a_gradient(config, random):
    graph, params, rest = nnx.split(build(config), nnx.Param, ...)
    x = images(random, 12, 12)

    @jax.jit
    def gradient(params):
        def loss(params):
            logits = nnx.merge(graph, params, rest, copy=True)(x, train=True)
            return -jax.nn.log_softmax(logits)[:, 3].mean()

        return jax.grad(loss)(params)

    for path, value in jax.tree_util.tree_leaves_with_path(gradient(params)):
        assert jnp.isfinite(value).all(), path
        assert (value != 0).any(), path


# Switches


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters_and_logits():
    config = small(dtype="bfloat16", downsample="max_blur", stem={"pool": "avg_pool"})
    model = build(config)
    assert output(config, 16, 16).dtype == jnp.float32
    assert output(config, 16, 16, method="features").dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(model, (nnx.Param, nnx.BatchStat)))} == {
        jnp.dtype("float32")
    }
    for train in (False, True):
        program = str(jax.make_jaxpr(lambda x: nnx.clone(model)(x, train=train))(jnp.zeros((2, 16, 16, 3))))  # noqa: B023
        types = re.findall(r":(\w+)\[[\d,]*\] = convolution\[", program)
        assert len(types) >= 4  # one for each shape
        assert set(types) == {"bf16"}
    assert output(small(), 16, 16, method="features").dtype == jnp.float32


def test_bfloat16_is_close_to_float32(random):
    x = images(random, 12, 12)
    full, half = (jax.jit(build(small(dtype=dtype)).__call__)(x) for dtype in ("float32", "bfloat16"))
    assert (full != half).any()
    np.testing.assert_allclose(half, full, atol=0.05 * float(jnp.abs(full).max()))


def test_without_residuals_there_is_no_shortcut():
    with_, without = parameters(build(small())), parameters(build(small(residual=False)))
    assert set(with_) - set(without) == {path for path in with_ if "shortcut" in path}
    assert len(with_) - len(without) == 3  # the projection and its BatchNorm's scale and shift
    model = build(small(residual=False))
    kernel = model.blocks[0].conv.kernel
    silent = nnx.clone(model)
    silent.blocks[0].conv.kernel[...] = jnp.zeros_like(kernel[...])
    x = jnp.ones((1, 8, 8, 4))
    assert not nnx.clone(silent).blocks[0](x, train=False, key=jax.random.key(0)).any()


def test_a_window_is_for_the_operator_where_it_downsamples():
    def shapes(**changes):
        state = nnx.to_pure_dict(nnx.state(traced(small(**changes)), nnx.Param))
        return [leaf.shape for leaf in jax.tree.leaves(state) if len(leaf.shape) == 4]

    base, wide = shapes(), shapes(window=5)
    assert [(a, b) for a, b in zip(base, wide, strict=True) if a != b] == [((3, 3, 4, 8), (5, 5, 4, 8))]
    assert shapes(downsample="blur_pool", window=5) == base
    blurs = [block.reduction.layers[-1] for block in traced(small(downsample="blur_pool", window=5)).blocks]
    assert blurs[1].window == (5, 5)


def test_padding_reaches_every_layer(random):
    """On a torus a net of stride 8 commutes with shifts by 8 pixels; one layer with zeros would break that."""
    x = images(random, 16, 16)
    for padding, exact in (("CIRCULAR", True), ("SYMMETRIC", False)):
        config = small(padding=padding, downsample="blur_pool", stem={"downsample": "max_pool", "pool": "avg_pool"})
        features = jax.jit(build(config).features)
        apart = jnp.abs(features(jnp.roll(x, 8, 2)) - jnp.roll(features(x), 1, 2)).max()
        assert (apart < 1e-5) == exact


def test_training_a_stochastic_operator_needs_a_key():
    model = MiniResNet(small(downsample="stochastic_pool"), key=jax.random.key(0))
    with pytest.raises(ValueError, match="needs a key in training"):
        model(jnp.zeros((2, 8, 8, 3)), train=True)


def test_the_defaults_are_the_baseline():
    from configs.baseline import baseline

    assert ModelConfig() == Config.from_dict(baseline().to_dict()).model


def test_a_model_is_built_in_two_lines():
    model = MiniResNet(ModelConfig(widths=(8, 16, 16), downsample="blur_pool"), key=jax.random.key(0))
    assert model(jnp.zeros((2, 32, 32, 3))).shape == (2, 10)
