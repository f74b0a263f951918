"""What is replaced computes what it should, keeps its weights, and works wherever a Flax module does."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax import Array, lax
from surgery import nets

import strideflax
from strideflax.operators import BlurPool
from strideflax.surgery import SurgeryReport, replace_downsampling

ATOL = 2e-6


def close(a: Array, b: Array, atol: float = ATOL) -> None:
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, atol=atol, rtol=1e-5)


def strided(**options) -> nnx.Conv:
    return nets.filled(nnx.eval_shape(lambda: nnx.Conv(4, 6, rngs=nnx.Rngs(0), **options)))


class Holder(nnx.Module):
    def __init__(self, layer):
        self.layer = layer

    def __call__(self, x):
        return self.layer(x)


CONVOLUTIONS = {
    "same": {"kernel_size": (3, 3), "strides": 2, "padding": "SAME"},
    "valid": {"kernel_size": (3, 2), "strides": (2, 3), "padding": "VALID"},
    "padded": {"kernel_size": (5, 5), "strides": 2, "padding": ((2, 1), (0, 3)), "use_bias": False},
    "circular": {"kernel_size": (4, 3), "strides": 2, "padding": "CIRCULAR"},
    "reflect_dilated": {"kernel_size": (3, 3), "strides": 2, "kernel_dilation": 2, "padding": "REFLECT"},
    "groups": {"kernel_size": (3, 3), "strides": 3, "feature_group_count": 2, "padding": 1},
    "patches": {"kernel_size": (4, 4), "strides": 4},
    "projection": {"kernel_size": (1, 1), "strides": 2},
    "causal": {"kernel_size": (4,), "strides": 2, "padding": "CAUSAL"},
    "volume": {"kernel_size": (3, 3, 3), "strides": (1, 2, 2), "padding": "SAME"},
}
SPACE = {1: (17,), 2: (13, 16), 3: (4, 7, 8)}


@pytest.mark.parametrize("placement", ["after", "before"])
@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_subsampling_in_the_strides_place_changes_no_value(options: dict, placement: str):
    model = Holder(strided(**options))
    x = nets.images(2, *SPACE[len(options["kernel_size"])], 4)
    new, report = replace_downsampling(model, "subsample", x, placement=placement)
    assert len(report.replaced) == 1
    assert report.changes[0].shift == (0,) * len(options["kernel_size"])
    close(new(x), model(x))


def test_other_batch_axes_than_one():
    model, x = Holder(strided(kernel_size=(3, 3), strides=2)), nets.images(2, 3, 8, 8, 4)
    new, _ = replace_downsampling(model, "subsample", x)
    for batch in (x[0, 0], x):
        close(new(batch), model(batch))


def test_a_blur_after_filters_the_dense_map_of_the_old_weights():
    conv = strided(kernel_size=(3, 3), strides=2, padding="SAME")
    x = nets.images(2, 16, 16, 4)
    new, _ = replace_downsampling(Holder(conv), "blur_pool", x)
    dense = lax.conv_general_dilated(
        x, conv.kernel[...], (1, 1), ((0, 1), (0, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    close(new(x), strideflax.blur_pool(dense + conv.bias[...].reshape(1, 1, 1, -1), 3, stride=2, padding="REFLECT"))


def test_a_blur_before_filters_what_the_old_convolution_sees():
    conv = strided(kernel_size=(3, 3), strides=2, padding=1)
    x = nets.images(2, 15, 16, 4)
    new, report = replace_downsampling(Holder(conv), "blur_pool", x, placement="before")
    close(new(x), conv(strideflax.blur_pool(x, 3, stride=1, padding="REFLECT")))
    assert (
        report.macs_after - report.macs_before == 15 * 16 * 4 * 6
    )  # three taps per axis, at the stride's cost otherwise


def test_a_shortcut_has_the_operator_before_it_and_stays_aligned():
    model = nets.made(nets.ResNet)
    new, report = replace_downsampling(model, "blur_pool", nets.IMAGES)
    assert [change.placement for change in report.changes] == ["after", "", "after", "before"]
    assert [change.shift for change in report.changes] == [(0, 0)] * 4
    x = nets.images(2, 8, 8, 8)
    close(new.blocks[1].shortcut(x), nnx.Conv.__call__(_dense(model.blocks[1].shortcut), strideflax.blur_pool(x)))
    assert jax.eval_shape(new, nets.IMAGES).shape == (2, 5)
    assert report.macs_after > report.macs_before


def _dense(conv: nnx.Conv) -> nnx.Conv:
    dense = nnx.clone(conv)
    dense.strides = 1
    return dense


def test_strided_conv_is_what_is_there_and_takes_operators_out_again():
    model, x = nets.made(nets.Line, 2), nets.images(2, 16, 16, 3)
    expected = model(x)
    same, report = replace_downsampling(model, "strided_conv", x, where="first")
    assert not report.replaced
    assert {change.reason for change in report.left} == {"is strided_conv already", "not asked for"}
    np.testing.assert_array_equal(same(x), expected)
    for placement in ("after", "before"):
        blurred, _ = replace_downsampling(model, "blur_pool", x, placement=placement)
        assert np.abs(blurred(x) - expected).max() > 1e-3
        again, _ = replace_downsampling(blurred, "max_pool", x, where="second")
        back, report = replace_downsampling(again, "strided_conv", x)
        assert len(report.replaced) == 2
        np.testing.assert_array_equal(back(x), expected)


POOLS = {
    "valid": lambda x: nnx.max_pool(x, (2, 2), (2, 2)),
    "wide_valid": lambda x: nnx.avg_pool(x, (3, 3), (2, 2)),
    "same": lambda x: nnx.max_pool(x, (3, 3), (2, 2), "SAME"),
    "padded": lambda x: nnx.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))),
    "uneven": lambda x: nnx.avg_pool(x, (2, 3), (1, 3)),
}


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_an_operator_in_a_pools_place_gives_its_sizes(pool):
    model = Holder(pool)
    example = jax.ShapeDtypeStruct((1, 16, 15, 3), jnp.float32)
    new, report = replace_downsampling(model, "blur_pool", example)
    assert len(report.replaced) == 1
    for size in (5, 6, 7, 8, 9, 16):
        x = jax.ShapeDtypeStruct((2, size, size + 1, 3), jnp.float32)
        assert jax.eval_shape(new, x) == jax.eval_shape(model, x)


def test_a_pool_that_becomes_its_like_agrees_in_value():
    model = Holder(lambda x: nnx.max_pool(x, (2, 2), (2, 2)))
    x = nets.images(2, 9, 8, 3)
    _, report = replace_downsampling(model, "max_pool", x)
    assert report.changes[0].reason == "is max_pool already"
    new, report = replace_downsampling(model, "avg_pool", x)
    close(new(x), nnx.avg_pool(x, (2, 2), (2, 2)))
    assert report.changes[0].shift == (0, 0)
    again, _ = replace_downsampling(new, "max_pool", x)
    close(again(x), model(x))


def test_every_second_pixel_of_a_pool_with_an_offset_is_met():
    x = jnp.arange(16.0).reshape(1, 16, 1)
    new, report = replace_downsampling(Holder(lambda x: nnx.avg_pool(x, (3,), (2,))), "subsample", x)
    assert report.changes[0].shift == (0.0,)
    np.testing.assert_array_equal(new(x).ravel(), [1, 3, 5, 7, 9, 11, 13])  # the middles of the windows


def test_pools_are_replaced_wherever_they_are_held_and_learn_for_each_width():
    model, x = nets.made(nets.Vgg), jax.ShapeDtypeStruct((2, 128, 128, 3), jnp.float32)
    new, report = replace_downsampling(model, "gem_pool", x, rngs=nnx.Rngs(1))
    assert [change.site.path for change in report.replaced] == ["features/layers/2", "features/layers/4", "both"]
    assert [change.reason for change in report.left] == ["a function inside a __call__"] * 2
    assert sorted(new.both.operators) == ["6", "8"]
    assert set(report.added) >= {("both", "operators", "6", "log_p"), ("both", "operators", "8", "log_p")}
    assert jax.eval_shape(new, x).shape == (2, 5)
    assert "nets.py" in str(report)
    with pytest.raises(ValueError, match="stands in for a pool of 6, 8 channels, got 5"):
        new.both(nets.images(1, 8, 8, 5))


def test_a_shared_layer_stays_shared():
    model, x = nets.made(nets.Shared), nets.images(1, 16, 16, 4)
    new, report = replace_downsampling(model, "blur_pool", x)
    assert len(report.replaced) == 2
    assert new.conv is new.again is new.held[0]
    assert new.pool is new.held[1]["pool"]
    assert jax.eval_shape(new, x) == jax.eval_shape(model, x)


def test_the_report_says_how_the_scale_of_the_features_changes():
    x = jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)
    for operator, scale, sign in (
        ("l2_pool", 2, True),
        ("max_avg", 2, False),
        ("haar_low", 2, False),
        ("lip", 1, False),
    ):
        _, report = shape_and_report(nets.made(nets.Tiny), operator)
        assert [change.scale for change in report.replaced] == pytest.approx([scale] * 3)
        assert ("(scale × 2)" in str(report)) is ("as large as before" in str(report)) is (scale == 2)
        assert ("Nothing negative" in str(report)) is sign
    sum_pool = Holder(lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"))
    doubled, report = replace_downsampling(sum_pool, "haar_low", x)
    assert report.changes[0].scale == pytest.approx(0.5)
    _, report = replace_downsampling(doubled, "avg_pool", x)
    assert report.changes[0].scale == pytest.approx(0.5)
    conv = Holder(strided(kernel_size=(3, 3), strides=2))
    x = jax.ShapeDtypeStruct((2, 8, 8, 4), jnp.float32)
    doubled, _ = replace_downsampling(conv, "max_avg", x)
    assert replace_downsampling(doubled, "strided_conv", x)[1].changes[0].scale == 0.5
    assert replace_downsampling(doubled, "l2_pool", x)[1].changes[0].scale == 1


@pytest.mark.parametrize("axes", [1, 3])
def test_other_ranks(axes: int):
    model = nets.made(nets.Line, axes)
    x = jax.ShapeDtypeStruct((2, *(9, 8, 8)[:axes], 3), jnp.float32)
    new, report = replace_downsampling(model, "max_blur", x)
    assert len(report.replaced) == 2
    assert jax.eval_shape(new, x) == jax.eval_shape(model, x)


def test_a_u_net_keeps_its_sizes_and_its_way_up():
    model, x = nets.made(nets.UNet), nets.images(1, 16, 16, 1)
    new, report = replace_downsampling(model, "avg_pool", x)
    assert [change.site.path for change in report.changes] == ["pool"]
    assert jax.eval_shape(new, x).shape == (1, 16, 16, 2)
    np.testing.assert_array_equal(new.up.kernel[...], model.up.kernel[...])


SMALL = jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)


def shape_and_report(model: nnx.Module, operator: str, **options) -> tuple[tuple[int, ...], SurgeryReport]:
    """Replace within a trace, where drawing weights needs no compiling."""
    reports = []

    def answer(images):
        new, report = replace_downsampling(model, operator, SMALL, rngs=nnx.Rngs(0), **options)
        reports.append(report)
        return new(images)

    return jax.eval_shape(answer, SMALL).shape, reports[0]


def test_every_operator_fits_or_says_why():
    model = nets.made(nets.Tiny)
    for name, entry in strideflax.DOWNSAMPLERS.items():
        if entry.main.convolves and name != "strided_conv":
            with pytest.raises(ValueError, match="brings a convolution of its own"):
                replace_downsampling(model, name)
            continue
        where = None
        if entry.shortcut is not None:
            with pytest.raises(ValueError, match=r"the shortcut shortcut would have to take the same one"):
                replace_downsampling(model, name, rngs=nnx.Rngs(0))
            where = "pool"
        for placement in ("after", "before"):
            shape, report = shape_and_report(model, name, placement=placement, where=where)
            assert shape == (2, 2, 2, 4)
            for change in report.left:
                assert change.reason.startswith(("is ", "not asked for", f"{name} makes"))


def test_space_to_depth_before_draws_the_weights_that_do_not_fit():
    model, x = Holder(strided(kernel_size=(3, 3), strides=2)), nets.images(2, 8, 8, 4)
    new, report = replace_downsampling(model, "space_to_depth", x, placement="before", rngs=nnx.Rngs(1))
    assert new.layer.kernel.shape == (3, 3, 16, 6)
    assert report.paths[("layer", "kernel")] is None
    assert ("layer", "kernel") in report.added
    assert "new weights" in str(report)
    assert new(x).shape == model(x).shape
    with pytest.raises(ValueError, match="needs rngs"):
        replace_downsampling(model, "space_to_depth", x, placement="before")


def test_weights_are_kept_unless_told_otherwise_and_the_model_stays_as_it_is():
    model = nets.made(nets.ResNet)
    before = nnx.to_pure_dict(nnx.state(model))
    new, report = replace_downsampling(model, "blur_pool", nets.IMAGES)
    assert all(path == new_path for path, new_path in report.paths.items())
    assert report.added == ()
    jax.tree.map(np.testing.assert_array_equal, nnx.to_pure_dict(nnx.state(new)), before)
    fresh, report = replace_downsampling(
        model, "blur_pool", keep_weights=False, rngs=nnx.Rngs(5), where="blocks/1/shortcut"
    )
    assert report.paths[("blocks", 1, "shortcut", "kernel")] is None
    assert np.abs(fresh.blocks[1].shortcut.kernel[...] - model.blocks[1].shortcut.kernel[...]).max() > 0.01
    np.testing.assert_array_equal(fresh.blocks[1].shortcut.bias[...], 0)
    np.testing.assert_array_equal(fresh.stem.kernel[...], model.stem.kernel[...])
    np.testing.assert_array_equal(fresh.head.kernel[...], model.head.kernel[...])
    new.stem.kernel[...] = jnp.zeros_like(new.stem.kernel[...])
    jax.tree.map(np.testing.assert_array_equal, nnx.to_pure_dict(nnx.state(model)), before)
    assert type(model.stem) is nnx.Conv


def test_a_checkpoint_of_the_network_before_is_loaded():
    trained = nets.filled(nnx.clone(nets.made(nets.ResNet)), seed=7)
    new, report = replace_downsampling(nets.made(nets.ResNet), "gem_pool", nets.IMAGES, rngs=nnx.Rngs(1))
    for checkpoint in (nnx.state(trained), nnx.to_pure_dict(nnx.state(trained))):
        nnx.update(new, report.converted(checkpoint))
        np.testing.assert_array_equal(new.blocks[1].conv1.kernel[...], trained.blocks[1].conv1.kernel[...])
    drawn, report = replace_downsampling(
        nets.made(nets.ResNet), "blur_pool", where="stem", keep_weights=False, rngs=nnx.Rngs(1)
    )
    fresh = np.array(drawn.stem.kernel[...])
    nnx.update(drawn, report.converted(nnx.state(trained)))
    np.testing.assert_array_equal(drawn.stem.kernel[...], fresh)  # what was drawn anew is not the checkpoint's
    np.testing.assert_array_equal(drawn.head.kernel[...], trained.head.kernel[...])
    with pytest.raises(ValueError, match="the network before has no other/kernel"):
        report.converted({"other": {"kernel": 1}})
    with pytest.raises(ValueError, match=r"^head/bias has shape \(5,\) in the network before, got \(7,\)$"):
        report.converted({"head": {"bias": np.zeros(7)}})
    as_words = report.converted({"blocks": {"1": {"conv1": {"kernel": np.ones((3, 3, 8, 16))}}}})
    assert as_words["blocks"][1]["conv1"]["kernel"].shape == (3, 3, 8, 16)


def test_what_was_replaced_is_fine_tuned_with_its_operators():
    x = nets.images(2, 8, 8, 3)
    model, _ = replace_downsampling(nets.made(nets.Line, 2), "gem_pool", x, where="first", rngs=nnx.Rngs(1))
    optimizer = nnx.Optimizer(model, optax.sgd(0.05), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer, x):
        loss, gradient = nnx.value_and_grad(lambda model: ((model(x) - 1) ** 2).mean())(model)
        optimizer.update(model, gradient)
        return loss, gradient

    losses = []
    for _ in range(3):
        loss, gradient = step(model, optimizer, x)
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    assert np.abs(gradient.first.downsample.log_p[...]).max() > 0


def test_it_works_wherever_a_module_does():
    x = nets.images(2, 8, 8, 1)
    new, _ = replace_downsampling(nets.made(nets.Tiny), "gem_pool", x, rngs=nnx.Rngs(1))
    expected = nnx.jit(lambda model, x: model(x))(new, x)
    graph, state = nnx.split(new)
    np.testing.assert_array_equal(jax.jit(lambda state, x: nnx.merge(graph, state)(x))(state, x), expected)
    close(new(x), expected, 1e-5)
    for twin in (copy.deepcopy(new), pickle.loads(pickle.dumps(new)), nnx.clone(new)):
        close(twin(x), expected, 1e-5)


def test_an_ensemble_by_vmap():
    one, _ = replace_downsampling(nets.made(nets.Line, 1), "blur_pool")
    graph, _ = nnx.split(one)
    states = [nnx.state(nets.filled(nnx.clone(one), seed)) for seed in range(3)]
    models = nnx.merge(graph, jax.tree.map(lambda *leaves: jnp.stack(leaves), *states))
    x = nets.images(2, 16, 3)
    found = nnx.vmap(lambda model, x: model(x), in_axes=(0, None))(models, x)
    assert found.shape == (3, 2, 4, 4)
    close(found[1], nnx.merge(graph, states[1])(x), 1e-5)
    made_inside = nnx.eval_shape(
        nnx.vmap(lambda key: replace_downsampling(nets.Line(1, rngs=nnx.Rngs(key)), "blur_pool")[0]),
        jax.random.split(jax.random.key(0), 3),
    )
    assert made_inside.first.kernel.shape == (3, 3, 3, 4)
    blurred, report = replace_downsampling(models, "max_blur", where="second")
    assert len(report.replaced) == 1
    assert blurred.first.kernel.shape == (3, 3, 3, 4)
    for options in ({"operator": "gem_pool"}, {"operator": "blur_pool", "keep_weights": False}):
        _, report = replace_downsampling(models, **options, rngs=nnx.Rngs(0))
        assert len(report.left) == 2
        assert report.left[0].reason.endswith("the model's are stacked: replace within the function that nnx.vmap maps")


class Scanned(nnx.Module):
    """A stem of its own before two layers whose weights are stacked, as those that `nnx.scan` goes through."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.stem = nnx.Conv(3, 3, (3, 3), strides=2, rngs=rngs)
        layer = nnx.vmap(lambda key: nnx.Conv(3, 3, (3, 3), strides=2, rngs=nnx.Rngs(key)))
        self.layers = layer(jax.random.split(rngs(), 2))


def test_a_layer_beside_stacked_ones_learns():
    model = nnx.eval_shape(lambda: Scanned(rngs=nnx.Rngs(0)))
    new, report = replace_downsampling(model, "gem_pool", rngs=nnx.Rngs(1))
    assert [change.site.path for change in report.replaced] == ["stem"]
    assert new.stem.downsample.log_p.ndim == 0  # as of one layer
    assert "the model's are stacked" in report.left[0].reason


def test_where_and_min_channels_choose():
    model = nets.made(nets.ResNet)

    def replaced(**options) -> list[str]:
        _, report = replace_downsampling(model, "blur_pool", nets.IMAGES, **options)
        return [change.site.path for change in report.replaced]

    assert replaced(where="blocks/*/conv1") == ["blocks/1/conv1"]
    assert replaced(where=["stem", "pool"]) == ["stem", "pool"]
    assert replaced(where=lambda site: site.is_projection) == ["blocks/1/shortcut"]
    assert replaced(min_channels=8) == ["pool", "blocks/1/conv1", "blocks/1/shortcut"]
    with pytest.raises(ValueError, match=r"where='block/\*' is no site; the sites are stem, pool, "):
        replaced(where="block/*")


def test_options_of_the_operator_and_one_of_your_own():
    x = nets.images(1, 16, 16, 4)

    class Wide(BlurPool):
        default_window = 5

    for operator, options in (("blur_pool", {"window": 5, "padding": "CIRCULAR"}), (Wide, {"padding": "CIRCULAR"})):
        new, _ = replace_downsampling(Holder(strided(kernel_size=(1, 1), strides=2)), operator, x, **options)
        assert new.layer.downsample.window == (5, 5)
        assert new.layer.downsample.padding == "CIRCULAR"


def test_an_operator_that_cannot_take_the_map_stays_out():
    model = Holder(strided(kernel_size=(3, 3), strides=2))
    new, report = replace_downsampling(model, "blur_pool", nets.images(1, 2, 2, 4), window=7)
    assert not report.replaced
    assert "can fill at most" in report.changes[0].reason
    assert type(new.layer) is nnx.Conv


@pytest.mark.parametrize("padding", [None, "SAME", "REFLECT", "CIRCULAR"])
@pytest.mark.parametrize("options", [CONVOLUTIONS["same"], CONVOLUTIONS["patches"] | {"padding": "VALID"}])
def test_an_even_filter_before_a_convolution_keeps_its_size_and_its_places(options: dict, padding: str | None):
    conv = strided(**options)
    ramp = jnp.broadcast_to(jnp.arange(24.0).reshape(1, 24, 1, 1), (1, 24, 24, 4))
    new, report = replace_downsampling(Holder(conv), "resize", ramp, placement="before", padding=padding)
    assert len(report.replaced) == 1
    shift = report.changes[0].shift[0]
    inner = slice(2, -2)  # away from the borders a ramp filtered is the ramp at the filter's middle
    assert new(ramp).shape == conv(ramp).shape
    close(new(ramp)[:, inner, inner], conv(ramp + shift)[:, inner, inner], atol=1e-4)


@pytest.mark.parametrize("operator", ["resize", "db2_low", "blur_pool"])
def test_a_circular_filter_before_a_circular_convolution_moves_with_the_image(operator: str):
    conv = strided(kernel_size=(3, 3), strides=2, padding="CIRCULAR")
    x = nets.images(1, 12, 12, 4)
    new, report = replace_downsampling(Holder(conv), operator, x, placement="before", padding="CIRCULAR")
    assert len(report.replaced) == 1
    close(new(jnp.roll(x, (2, -4), (1, 2))), jnp.roll(new(x), (1, -2), (1, 2)), atol=1e-5)


@pytest.mark.parametrize(("window", "first"), [(2, 0), (3, 1), (4, 1), (5, 2)])
def test_an_operator_reads_the_pixel_nearest_to_a_pool_s_middle_the_first_of_two(window: int, first: int):
    x = jnp.arange(16.0).reshape(1, 16, 1)
    new, report = replace_downsampling(Holder(lambda x: nnx.avg_pool(x, (window,), (2,))), "subsample", x)
    assert report.changes[0].shift == (first - (window - 1) / 2,)
    np.testing.assert_array_equal(new(x).ravel(), first + 2 * np.arange((16 - window) // 2 + 1))


def test_a_filter_whose_middle_is_between_pixels_is_as_near_to_a_pool_s():
    x = jax.ShapeDtypeStruct((1, 16, 1), jnp.float32)
    _, report = replace_downsampling(Holder(lambda x: nnx.avg_pool(x, (4,), (2,))), "db2_low", x)
    assert report.changes[0].shift == pytest.approx((1 + (3 - np.sqrt(3)) / 2 - 1.5,), abs=1e-6)


def test_a_filter_after_a_convolution_reads_a_ramp_where_the_report_says():
    conv = strided(kernel_size=(3, 3), strides=2, padding="SAME")
    ramp = jnp.broadcast_to(jnp.arange(24.0).reshape(1, 24, 1, 1), (1, 24, 24, 4))
    new, report = replace_downsampling(Holder(conv), "avg_pool", ramp)
    assert report.changes[0].shift == (0.5, 0.5)
    close(new(ramp)[:, 2:-2, 2:-2], conv(ramp + 0.5)[:, 2:-2, 2:-2], atol=1e-4)


def test_a_convolution_on_the_small_map_is_centred_there():
    """Beside its eight pixels four taps need three: one before, two behind, so the middle moves by half a small pixel."""
    conv = strided(kernel_size=(4, 4), strides=2, padding=1)
    x = jax.ShapeDtypeStruct((1, 16, 16, 4), jnp.float32)
    new, report = replace_downsampling(Holder(conv), "space_to_depth", x, placement="before", rngs=nnx.Rngs(0))
    assert report.changes[0].shift == (1.0, 1.0)
    assert jax.eval_shape(new, x).shape == (1, 8, 8, 6)


class Chosen(nnx.Module):
    """A pool whose size is an argument."""

    def __call__(self, x, k=2):
        return nnx.max_pool(x, (k, k), (k, k))


def test_a_pool_called_with_another_stride_stays():
    class Net(nnx.Module):
        def __init__(self):
            self.p = Chosen()

        def __call__(self, x, k=4):
            return self.p(x, k=k)

    x = nets.images(1, 16, 16, 3)
    new, report = replace_downsampling(Net(), "blur_pool", x)
    assert "(1, 4, 4, 3)" in report.changes[0].reason
    assert new(x).shape == (1, 4, 4, 3)
    new, report = replace_downsampling(Net(), "blur_pool", x, call=lambda model, x: model(x, k=2))
    assert len(report.replaced) == 1
    with pytest.raises(ValueError, match=r"of stride \(2, 2\), got a call at stride \(4, 4\)"):
        new(x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"operator": "blurpool"}, "unknown downsampling operator 'blurpool'"),
        ({"operator": 3}, "must be a name of strideflax.DOWNSAMPLERS or a Downsample class, got 3"),
        ({"operator": "blur_pool", "placement": "behind"}, "placement must be one of after, before, got 'behind'"),
        ({"operator": "blur_pool", "rngs": 0}, r"rngs must be flax.nnx.Rngs\(seed\) or None, got 0"),
        ({"operator": "blur_pool", "where": 3}, "where must be a pattern of paths, .*, got 3"),
        ({"operator": "blur_pool", "where": ["stem", 3]}, r"where must be .*, got \['stem', 3\]"),
        ({"operator": "haar_low", "window": 3}, "haar_low has no window to choose, got window=3"),
        ({"operator": "gem_pool", "rngs": None, "padding": "VALID"}, "padding must be one of"),
    ],
)
def test_mistakes_are_answered(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        replace_downsampling(nets.made(nets.ResNet), **arguments)
