"""The table of any network: counted by hand, aligned where it is, and the same as the mini-ResNet's own where both look."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax import lax
from surgery import nets

import strideflax
from strideflax.inspection import inspect_model
from strideflax.model import ModelConfig, StemConfig, abstract_model
from strideflax.operators import BlurPool
from strideflax.surgery import replace_downsampling

EXAMPLE = jax.ShapeDtypeStruct((4, 32, 32, 3), jnp.float32)


def test_the_rows_of_a_residual_net():
    found = strideflax.inspect(nets.made(nets.ResNet), EXAMPLE)
    rows = {layer.path: layer for layer in found.layers}
    stem = rows["stem"]
    assert (stem.kind, stem.output, stem.params) == ("Conv", (16, 16, 8), 7 * 7 * 3 * 8 + 8)
    assert stem.macs == 16 * 16 * 7 * 7 * 3 * 8
    assert (stem.fields[0].size, stem.fields[0].jump, stem.fields[0].start) == (7, 2, 1.0)
    pool = rows["pool"]
    assert (pool.kind, pool.macs, pool.output_bytes) == ("function", 8 * 8 * 9 * 8, 8 * 8 * 8 * 4)
    assert (pool.fields[0].size, pool.fields[0].jump, pool.fields[0].start) == (7 + 2 * 2, 4, 1.0)
    assert rows["blocks/1/conv1"].fields[1].jump == 8
    assert rows["head"].macs == 16 * 5
    assert found.macs == sum(layer.macs for layer in found.layers)
    assert found.params == sum(layer.params for layer in found.layers)
    assert found.rest_macs == 0
    assert found.meetings
    assert found.misaligned == ()
    assert "aligned: " in str(found)
    assert "<table>" in found._repr_html_()


def test_it_agrees_with_the_mini_resnets_own_table():
    config = ModelConfig(widths=(4, 8), blocks=(1, 1), strides=(1, 2), padding="SAME", stem=StemConfig(kernel=3))
    model = abstract_model(config)
    own = inspect_model(model, 32)
    found = strideflax.inspect(model, EXAMPLE)
    means = 8 * 8 * 8  # the global mean, which is no layer
    assert found.macs == own.macs - means
    assert found.params == own.params
    model.train()
    training = strideflax.inspect(model, EXAMPLE)
    for before, now in zip(found.layers[1:-1], training.layers[1:-1], strict=True):
        assert now.fields == tuple(replace(field, whole=True) for field in before.fields)


class Misaligned(nnx.Module):
    """A stride by SAME beside a shortcut by slicing, and a pool in the call."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.conv = nnx.Conv(3, 4, (3, 3), strides=2, rngs=rngs)
        self.scale = nnx.Param(jnp.ones(4))
        self.shortcut = nnx.Conv(3, 4, (1, 1), strides=2, rngs=rngs)

    def __call__(self, x):
        y = self.conv(x) + self.shortcut(x)
        return nnx.max_pool(y * self.scale[...].reshape(1, 1, 1, -1), (2, 2), (2, 2))


def test_paths_that_are_misaligned_are_named_with_their_line():
    found = strideflax.inspect(nets.made(Misaligned), EXAMPLE)
    (meeting,) = found.misaligned
    assert meeting.shift == (1.0, 1.0)
    assert "misaligned by 1 px of the image: model: test_network_inspection.py:" in str(found)
    assert found.rest_macs == 8 * 8 * 4 * 4
    assert "(functions)" in str(found)


def test_a_field_ends_where_it_is_not_known_and_stays_unknown():
    found = strideflax.inspect(nets.made(nets.UNet), jax.ShapeDtypeStruct((2, 16, 16, 1), jnp.float32))
    rows = {layer.path: layer for layer in found.layers}
    assert rows["down/second"].fields[0].size == 3 + 1 + 2 * 2
    assert rows["up"].fields is None
    assert rows["out"].fields is None  # of the skip connection and the way up
    new, _ = replace_downsampling(nets.made(nets.UNet), "blur_pool", jax.ShapeDtypeStruct((2, 16, 16, 1), jnp.float32))
    found = strideflax.inspect(new, jax.ShapeDtypeStruct((2, 16, 16, 1), jnp.float32))
    rows = {layer.path: layer for layer in found.layers}
    assert "pool/pool" not in rows
    assert (rows["pool/operators/4"].fields[0].size, rows["pool/operators/4"].fields[0].jump) == (5, 2)


class Bordered(nnx.Module):
    """A border from the other side of the map, and zeros that the caller puts around it."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.wrapped = nnx.Conv(3, 4, (5, 5), strides=2, padding="CIRCULAR", rngs=rngs)
        self.padded = nnx.Conv(4, 4, (3, 3), strides=2, padding="VALID", rngs=rngs)

    def __call__(self, x):
        return self.padded(jnp.pad(self.wrapped(x), ((0, 0), (2, 1), (2, 1), (0, 0))))


def test_a_border_moves_where_an_output_is_centred():
    rows = {layer.path: layer for layer in strideflax.inspect(nets.made(Bordered), EXAMPLE).layers}
    first, second = rows["wrapped"].fields[0], rows["padded"].fields[0]
    assert (first.size, first.jump, first.start) == (5, 2, 0)  # two pixels before the map, and the middle of five taps
    assert (second.size, second.jump, second.start) == (
        9,
        4,
        -2,
    )  # two of its pixels before, and the middle of three taps


class Normed(nnx.Module):
    """Two convolutions with a norm between them, and a mean at the end."""

    def __init__(self, norm, *, rngs: nnx.Rngs):
        self.first = nnx.Conv(3, 4, (3, 3), strides=2, rngs=rngs)
        self.norm = norm(4, rngs=rngs)
        self.second = nnx.Conv(4, 4, (3, 3), padding="CIRCULAR", rngs=rngs)
        self.head = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        return self.head(self.second(nnx.relu(self.norm(self.first(x)))).mean((1, 2)))


NORMS = {
    "layer": (nnx.LayerNorm, False),
    "root_mean_square": (nnx.RMSNorm, False),
    "batch_in_evaluation": (partial(nnx.BatchNorm, use_running_average=True), False),
    "batch_in_training": (nnx.BatchNorm, True),
    "group": (partial(nnx.GroupNorm, num_groups=2), True),
    "instance": (nnx.InstanceNorm, True),
}


@pytest.mark.parametrize(("norm", "whole"), NORMS.values(), ids=NORMS)
def test_a_field_goes_through_a_norm_which_may_see_the_whole_map(norm, whole):
    found = strideflax.inspect(nnx.eval_shape(lambda: Normed(norm, rngs=nnx.Rngs(0))), EXAMPLE)
    first, normed, second = (layer.fields[0] for layer in found.layers[:3])
    assert (first.size, first.whole) == (3, False)
    assert (normed.size, normed.jump, normed.start, normed.whole) == (3, 2, 1, whole)
    assert (second.size, second.jump, second.start, second.whole) == (7, 2, 1, whole)
    assert found.layers[3].fields is None  # of the mean over the map
    assert ("7+" in str(found)) is ("every other pixel" in str(found)) is whole
    assert found.misaligned == ()  # a border from the other side is no path of its own


def test_a_field_ends_where_positions_are_mixed_in_the_same_shape():
    for mix in (
        lambda x: jnp.cumsum(x, 1),
        lambda x: x[:, ::-1],
        lambda x: jnp.einsum("bhwc,hk->bkwc", x, jnp.eye(32)),
    ):
        model = nnx.Sequential(mix, nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0)))
        assert strideflax.inspect(model, EXAMPLE).layers[-1].fields is None


def test_a_layer_that_is_the_whole_model_is_one_row_and_one_site():
    conv = nnx.eval_shape(lambda: nnx.Conv(3, 4, (3, 3), strides=2, rngs=nnx.Rngs(0)))
    for model, kind in ((conv, "Conv"), (BlurPool(3), "BlurPool")):
        (row,) = strideflax.inspect(model, EXAMPLE).layers
        assert (row.path, row.kind, row.fields[0].size) == ("model", kind, 3)
        (site,) = strideflax.downsampling_sites(model, EXAMPLE)
        assert (site.path, site.obstacle, site.output[1:3]) == ("model", "", (16, 16))
    new, _ = replace_downsampling(conv, "max_blur", EXAMPLE)
    assert nnx.eval_shape(lambda model, x: model(x), new, EXAMPLE).shape == (4, 16, 16, 4)
    _, report = replace_downsampling(BlurPool(3), "max_pool", EXAMPLE)
    assert report.left[0].reason == "it is the whole model: build the other operator in its place"


@pytest.mark.parametrize(
    ("example", "got"),
    [
        (None, "got None"),
        (3, "got 3"),
        ([[1.0]], "got a list"),
        ((EXAMPLE, EXAMPLE), "got a tuple"),
        (jax.ShapeDtypeStruct((), jnp.float32), "got a number without axes"),
    ],
)
def test_an_example_that_is_no_image_is_refused(example, got):
    for function in (strideflax.inspect, partial(replace_downsampling, operator="blur_pool")):
        if example is None and function is not strideflax.inspect:
            continue
        with pytest.raises(TypeError, match=rf"^example must .*{got}$"):
            function(nets.made(nets.ResNet), example=example)
    two = strideflax.inspect(
        nets.made(nets.Line, 2), (EXAMPLE, 1 * jnp.ones(3)), call=lambda model, pair: model(pair[0])
    )
    assert two.layers


class Repeated(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs):
        self.dense = nnx.Linear(6, 6, rngs=rngs)

    def __call__(self, x):
        x = self.dense(self.dense(x))
        return lax.scan(lambda x, _: (jnp.tanh(x @ self.dense.kernel[...]), None), x, length=5)[0]


def test_a_layer_called_twice_and_a_loop_count_every_time():
    found = strideflax.inspect(nets.made(Repeated), jax.ShapeDtypeStruct((3, 6), jnp.float32))
    (layer,) = found.layers
    assert (layer.calls, layer.macs, layer.params) == (2, 2 * 36, 42)
    assert found.rest_macs == 5 * 36
    assert "Linear (2 calls)" in str(found)


def test_layers_are_found_under_vmap_and_in_gradients():
    model, example = nets.made(nets.Tiny), jax.ShapeDtypeStruct((5, 8, 8, 1), jnp.float32)
    plain = strideflax.inspect(model, example)
    mapped = strideflax.inspect(model, example, call=lambda model, x: jax.vmap(model)(x))
    assert [(layer.path, layer.output, layer.macs) for layer in mapped.layers] == [
        (layer.path, layer.output, layer.macs) for layer in plain.layers
    ]
    assert mapped.rest_macs == plain.rest_macs == 0
    graded = strideflax.inspect(model, example, call=lambda model, x: jax.grad(lambda x: model(x).sum())(x))
    assert graded.rest_macs == 0
    assert graded.macs > plain.macs
    sites = strideflax.downsampling_sites(model, example, call=lambda model, x: jax.vmap(model)(x))
    assert [site.path for site in sites if not site.obstacle] == ["pool", "conv", "shortcut"]


@pytest.mark.parametrize(
    ("model", "got"),
    [(lambda x: x, "function"), (nnx.Conv, "the class Conv"), ({"conv": 1}, "dict"), (None, "NoneType")],
)
def test_what_is_no_module_is_refused(model, got):
    for function in (
        strideflax.inspect,
        strideflax.downsampling_sites,
        partial(replace_downsampling, operator="blur_pool"),
    ):
        with pytest.raises(TypeError, match=rf"^model must be a flax\.nnx\.Module, got {got}$"):
            function(model, example=EXAMPLE)


def test_replaced_convolutions_and_a_way_to_call():
    class Net(nnx.Module):
        def __init__(self, *, rngs: nnx.Rngs):
            self.conv = nnx.Conv(3, 4, (3, 3), strides=2, padding=1, rngs=rngs)
            self.act = partial(nnx.leaky_relu, negative_slope=0.1)

        def __call__(self, x, *, train):
            return self.act(self.conv(x)) if not train else x

    call = lambda model, x: model(x, train=False)  # noqa: E731
    new, _ = replace_downsampling(nets.made(Net), "blur_pool", EXAMPLE, call=call)
    found = strideflax.inspect(new, EXAMPLE, call=call)
    rows = {layer.path: layer for layer in found.layers}
    assert rows["conv"].macs == 32 * 32 * 27 * 4
    assert rows["conv/downsample"].macs == 16 * 16 * 6 * 4
    assert rows["act"].kind == "function"
    assert found.macs == sum(layer.macs for layer in found.layers)
