"""The inspector against hand counts, against autodiff and against XLA."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs.baseline import baseline
from strideflax.config import Config
from strideflax.errors import UserError
from strideflax.inspection import count_macs, count_params, inspect_model
from strideflax.inspection.plot import central_box, draw_fields
from strideflax.inspection.tables import interleaved
from strideflax.kernels.implementation import use_implementation
from strideflax.model import abstract_model
from strideflax.operators.table import DOWNSAMPLERS
from strideflax.wording import quantity


def model_config(**changes):
    """The baseline's network with ``changes``; those of the stem as stem_kernel, stem_stride and so on."""
    config = Config.from_dict(baseline().to_dict()).model
    stem = {name.removeprefix("stem_"): changes.pop(name) for name in list(changes) if name.startswith("stem_")}
    return dataclasses.replace(config, stem=dataclasses.replace(config.stem, **stem), **changes)


def inspect_config(size=(32, 32), **changes):
    return inspect_model(abstract_model(model_config(**changes)), size)


def row(inspection, name):
    return next(layer for layer in inspection.layers if layer.name == name)


RESNET18 = {
    "stem_kernel": 3,
    "stem_stride": 1,
    "widths": (64, 128, 256, 512),
    "blocks": (2, 2, 2, 2),
    "strides": (1, 2, 2, 2),
}


class TestHandCounts:
    def test_one_convolution(self):
        stem = row(inspect_config(), "stem/conv")
        assert stem.operator == "strided_conv"
        assert stem.output == (16, 16, 64)
        assert stem.params == 7 * 7 * 3 * 64
        assert stem.macs == 16 * 16 * 7 * 7 * 3 * 64 == 2_408_448
        assert stem.activation_bytes == 16 * 16 * 64 * 4
        # Padded by 3: windows 0 and 1 lose 3 and 1 rows at the top, window 15 loses 2 at the bottom, of 16 * 7 in all.
        assert stem.padding_macs == round(2_408_448 * (1 - (106 / 112) ** 2))
        assert [(field.size, field.jump, field.start) for field in stem.fields] == [(7, 2, 0.0)] * 2

    def test_the_baseline_adds_up_to_its_parameters_and_macs(self):
        found = inspect_config()
        convolutions = {  # name: (outputs, kernel, in, out)
            "stem/conv": (256, 49, 3, 64),
            "stage1/block1/reduction/conv": (256, 9, 64, 64),
            "stage1/block1/conv": (256, 9, 64, 64),
            "stage2/block1/reduction/conv": (64, 9, 64, 128),
            "stage2/block1/conv": (64, 9, 128, 128),
            "stage2/block1/shortcut/conv": (64, 1, 64, 128),
            "stage3/block1/reduction/conv": (16, 9, 128, 256),
            "stage3/block1/conv": (16, 9, 256, 256),
            "stage3/block1/shortcut/conv": (16, 1, 128, 256),
        }
        assert {layer.name: layer.macs for layer in found.layers if layer.name.endswith("/conv")} == {
            name: math.prod(numbers) for name, numbers in convolutions.items()
        }
        scales_and_biases = 2 * (3 * 64 + 3 * 128 + 3 * 256)
        kernels = sum(math.prod(numbers[1:]) for numbers in convolutions.values())
        assert found.params == kernels + scales_and_biases + 256 * 10 + 10 == 1_235_274
        mean_and_classifier = 4 * 4 * 256 + 256 * 10
        assert found.macs == sum(map(math.prod, convolutions.values())) + mean_and_classifier == 50_649_600

    def test_resnet18_for_cifar_has_its_published_size_cost_and_field(self):
        found = inspect_config(**RESNET18)
        assert found.params == 11_173_962
        assert round(found.macs / 1e6) == 555
        last = row(found, "stage4/block2/add")
        assert (last.fields[0].size, last.fields[0].jump, last.output) == (109, 8, (4, 4, 512))

    def test_the_published_costs_of_resnet18_that_downsamples_after_its_convolutions(self):
        # Subsampling after the 3 x 3 alone: 1.31 times the strided ones. After the shortcut's 1 x 1 too: 1.34.
        assert round(inspect_config(**RESNET18, downsample="subsample").macs / 1e6) == 725
        assert round(inspect_config(**RESNET18, downsample="subsample", placement="before").macs / 1e6) == 555
        dense = inspect_config(**RESNET18, downsample="conv_pool")
        compares = 2 * sum(4 * side**2 * width for side, width in ((16, 128), (8, 256), (4, 512)))
        assert round((dense.macs - compares) / 1e6) == 744

    def test_a_pool_counts_its_compares_and_a_blur_its_taps_per_axis(self):
        pool = row(inspect_config(downsample="max_pool"), "stage2/block1/reduction/downsample")
        assert (pool.operator, pool.macs, pool.padding_macs) == ("max_pool", 8 * 8 * 128 * 4, 0)
        blur = row(inspect_config(downsample="blur_pool"), "stage2/block1/reduction/downsample")
        assert blur.macs == 8 * 8 * 128 * (3 + 3)

    def test_shares_add_up_to_one(self):
        found = inspect_config(downsample="max_blur")
        assert sum(found.macs_share(layer) for layer in found.layers) == pytest.approx(1, abs=1e-12)

    def test_bfloat16_halves_the_activations_but_for_the_classifier(self):
        single, half = inspect_config(), inspect_config(dtype="bfloat16")
        classifier = 4 * (256 + 10)
        assert half.activation_bytes - classifier == (single.activation_bytes - classifier) // 2
        assert row(half, "head").dtype == row(half, "mean").dtype == "float32"

    def test_asymmetric_strides_and_images(self):
        found = inspect_config((48, 32), strides=(1, (2, 1), (1, 2)))
        assert row(found, "stage3/block1/add").output == (12, 8, 256)
        fields = row(found, "stage3/block1/add").fields
        # Vertical: 7, then 4 and 4 at jump 2, 2 * 2 + 2 * 4, 2 * 8. Horizontal: the jump doubles one block later.
        assert [field.size for field in fields] == [7 + 8 + 4 + 8 + 8 + 8, 7 + 8 + 4 + 4 + 4 + 8]
        assert [field.jump for field in fields] == [4, 4]


@pytest.mark.parametrize("name", DOWNSAMPLERS)
class TestEveryOperator:
    @pytest.mark.parametrize("placement", ["after", "before"])
    def test_counts_every_parameter_and_predicts_every_shape(self, name, placement):
        config = model_config(downsample=name, placement=placement, widths=(4, 6, 8), stem_pool="max_pool")
        model = abstract_model(config)
        found = inspect_model(model, (33, 24))
        parameters = nnx.to_pure_dict(nnx.state(model, nnx.Param))
        assert found.params == count_params(model) == sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(parameters))
        assert [row(found, f"stage{i}/block1/add").output for i in (1, 2, 3)] == feature_shapes(model, (33, 24))
        json.dumps(found.to_dict(), allow_nan=False)

    def test_main_path_and_shortcut_are_aligned_with_symmetric_padding(self, name):
        verdicts = {a.block: a.verdict for a in inspect_config(downsample=name, padding="SYMMETRIC").alignments}
        if name == "resnet_d":  # a 3 x 3 at phase 0 beside a 2 x 2 mean at phase 1/2; the map before has jump 2, then 4
            assert verdicts["stage2/block1"] == "misaligned by (-1, -1) px"
            assert verdicts["stage3/block1"] == "misaligned by (-2, -2) px"
        else:
            assert all(verdict.startswith("aligned") for verdict in verdicts.values())


def feature_shapes(model, size):
    graph, state = nnx.split(model)
    blocks = len(model.blocks)

    def outputs(state, x):
        model = nnx.merge(graph, state)
        shapes = []
        x, _ = model.stem(x, train=False, key=jax.random.key(0))
        x = model.stem_pool(x)
        for block in model.blocks:
            x = block(x, train=False, key=jax.random.key(0))
            shapes.append(x)
        return shapes

    shapes = jax.eval_shape(outputs, state, jax.ShapeDtypeStruct((1, *size, 3), jnp.float32))
    assert len(shapes) == blocks
    return [shape.shape[1:] for shape in shapes]


class TestAlignment:
    def test_same_padding_shifts_the_main_path_by_one_pixel_of_its_input(self):
        # 3 x 3 / 2 SAME on an even size is centred on 2 i + 1, the 1 x 1 / 2 shortcut samples 2 i: one pixel of a map
        # whose pixels are 2 image pixels apart, then 4.
        shifts = [alignment.shift for alignment in inspect_config(padding="SAME").alignments]
        assert shifts == [(0, 0), (2, 2), (4, 4)]

    def test_same_padding_on_odd_sizes_is_centred(self):
        found = inspect_config((31, 33), padding="SAME", stem_kernel=3, stem_stride=1)
        # 31 and 33 are odd; the next maps are 16 (even) and 17 (odd).
        assert [alignment.shift for alignment in found.alignments] == [(0, 0), (0, 0), (2, 0)]
        assert found.alignments[2].verdict == "misaligned by (2, 0) px"

    def test_same_padding_shifts_only_where_the_stride_is(self):
        found = inspect_config(padding="SAME", strides=(1, (2, 1), (1, 2)))
        assert [alignment.shift for alignment in found.alignments] == [(0, 0), (2, 0), (0, 2)]

    def test_adaptive_and_global_operators_say_so(self):
        assert (
            inspect_config(downsample="aps").alignments[1].verdict
            == "aligned (one phase per image, shared by both paths)"
        )
        spectral = inspect_config(downsample="spectral_pool").alignments
        assert spectral[0].verdict == "aligned"
        assert spectral[1].verdict == "aligned (every output sees the whole map)"

    def test_a_plain_net_has_no_shortcut(self):
        found = inspect_config(residual=False)
        assert [alignment.verdict for alignment in found.alignments] == ["no shortcut"] * 3
        assert not any("shortcut" in layer.name or "add" in layer.name for layer in found.layers)


SMALL = {"stem_kernel": 3, "stem_stride": 1, "widths": (2, 3), "blocks": (1, 1), "strides": (1, 2)}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"residual": False},
        {"padding": "SAME"},
        {"downsample": "avg_pool"},
        {"downsample": "avg_pool", "residual": False, "padding": "SAME"},
        {"downsample": "blur_pool", "window": 4, "placement": "before"},
        {"downsample": "space_to_depth", "padding": "CIRCULAR"},
        {"strides": (1, (1, 3)), "downsample": "resize"},
    ],
    ids=str,
)
def test_receptive_field_is_the_box_of_pixels_with_a_gradient(changes):
    config = model_config(**{**SMALL, **changes})
    field = (
        inspect_model(abstract_model(config), (28, 30)).layers[-3].fields
    )  # the last row before the classifier's two
    expected = [(f.start + 5 * f.jump - (f.size - 1) / 2, f.start + 5 * f.jump + (f.size - 1) / 2) for f in field]
    assert influencing_box(abstract_model(config), output=5, size=(28, 30)) == expected


def influencing_box(model, output, size):
    """First and last row and column with a gradient of one output; all is positive, so that nothing cancels or dies."""
    graph, state = nnx.split(model)
    random = np.random.default_rng(0)

    def filled(path, leaf):
        name = jax.tree_util.keystr(path)
        if "mean" in name or "var" in name:
            return np.full(leaf.shape, "var" in name, np.float32)
        return random.uniform(0.1, 1, leaf.shape).astype(np.float32)

    state = jax.tree_util.tree_map_with_path(filled, state)
    x = random.uniform(0.1, 1, (1, *size, 3)).astype(np.float32)
    gradient = jax.jit(jax.grad(lambda x: nnx.merge(graph, state).features(x)[0, output, output].sum()))(x)
    influences = np.asarray(abs(gradient[0]).sum(-1)) > 0
    return [(lines[0], lines[-1]) for lines in (np.flatnonzero(influences.any(1 - axis)) for axis in (0, 1))]


@pytest.mark.parametrize("name", ["strided_conv", "max_pool", "spectral_pool"])
def test_macs_without_padding_are_half_of_the_flops_that_xla_counts_within_5_percent(name):
    """XLA skips taps on padding, as `padding_share` says, and adds BatchNorm, ReLU and additions: 2 to 3 percent."""
    config = dataclasses.replace(model_config(downsample=name), widths=(16, 32, 64))
    model = abstract_model(config)
    graph, state = nnx.split(model)
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    with use_implementation("lax"):  # XLA can't count what oneDNN does
        program = jax.jit(lambda state, x: nnx.merge(graph, state)(x)).lower(state, image)
    flops = program.compile().cost_analysis()["flops"]
    found = inspect_model(model)
    assert 1 < flops / (2 * found.macs * (1 - found.padding_share)) < 1.05


class TestSizes:
    def test_a_map_too_small_for_its_border_names_the_layer(self):
        model = abstract_model(model_config(padding="REFLECT"))
        with pytest.raises(UserError, match=r"too small: stage3/block1/conv gets a map of 1 x 1: padding REFLECT"):
            count_macs(model, 8)

    @pytest.mark.parametrize("size", [0, (32,), (32, -1), "32"])
    def test_a_size_that_is_none(self, size):
        with pytest.raises(ValueError, match="size must be an int >= 1 or 2 of them"):
            inspect_model(abstract_model(model_config()), size)

    def test_zero_padding_takes_a_single_pixel(self):
        assert row(inspect_config((1, 1)), "stage3/block1/add").output == (1, 1, 256)


class TestPicture:
    def test_boxes_of_the_stages(self):
        ends = inspect_config(stem_pool="max_pool").stage_ends()
        assert list(ends) == ["stem", "stage1", "stage2", "stage3"]
        assert ends["stem"].name == "stem_pool"
        # Stem: 16 outputs, the central one at 8 * 2 = 16, sees 7 pixels: 12.5 to 19.5 in the picture's coordinates.
        assert central_box(row(inspect_config(), "stem/conv")) == (12.5, 12.5, 7, 7)

    def test_draws_a_box_per_stage_over_the_image(self):
        figure = draw_fields(inspect_config((32, 24)), np.zeros((32, 32, 3), np.uint8))
        boxes = [(patch.get_width(), patch.get_height()) for patch in figure.axes[0].patches]
        assert boxes == [(7, 7), (15, 15), (27, 27), (51, 51)]
        assert figure.axes[0].images[0].get_extent() == [-0.5, 23.5, 31.5, -0.5]


def test_layers_of_two_networks_are_merged_by_name():
    strided, pooled = inspect_config(), inspect_config(downsample="max_pool")
    names = [layer.name for layer in interleaved(strided.layers, pooled.layers)]
    assert names == [layer.name for layer in pooled.layers]  # it has all that the other has
    assert [layer.name for layer in interleaved(pooled.layers, strided.layers)] == names


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, ""), (999, "999"), (1000, "1 k"), (2_408_448, "2.41 M"), (999_900, "1 M"), (10**10, "10 G")],
)
def test_quantities_have_three_digits(number, text):
    assert quantity(number) == text
