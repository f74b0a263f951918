"""Where a network downsamples is found, whatever holds the layer, and what hides in a call is named with its place."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from flax import nnx
from jax import lax
from surgery import nets

from strideflax.operators import MaxPool
from strideflax.surgery import downsampling_sites, replace_downsampling


def test_the_sites_of_a_residual_net_have_shapes_costs_and_alignment():
    sites = downsampling_sites(nets.made(nets.ResNet), nets.IMAGES)
    assert [site.path for site in sites] == ["stem", "pool", "blocks/1/conv1", "blocks/1/shortcut"]
    stem, pool, conv, shortcut = sites
    assert (stem.input, stem.output, stem.stride, stem.window) == ((2, 32, 32, 3), (2, 16, 16, 8), (2, 2), (7, 7))
    assert stem.macs == 16 * 16 * 7 * 7 * 3 * 8
    assert stem.start == (1.0, 1.0)  # SAME pads (2, 3): the kernel's middle stands on pixel 3 - 2
    assert (pool.kind, pool.window, pool.start, pool.macs) == ("max_pool", (3, 3), (0.0, 0.0), 8 * 8 * 9 * 8)
    assert (conv.macs, conv.start) == (4 * 4 * 9 * 8 * 16, (0.0, 0.0))
    assert (shortcut.macs, shortcut.is_projection) == (4 * 4 * 8 * 16, True)
    assert not any(site.obstacle for site in sites)
    assert sites["pool"] is pool
    assert "conv 7×7 /2" in str(sites)
    assert "<table>" in sites._repr_html_()


def test_pools_are_found_wherever_they_are_held():
    sites = downsampling_sites(nets.made(nets.Vgg), nets.IMAGES)
    found = [(site.path, site.kind) for site in sites if not site.obstacle]
    assert found == [("features/layers/2", "max_pool"), ("features/layers/4", "avg_pool"), ("both", "avg_pool")]


def test_functions_in_a_call_are_listed_with_their_line():
    sites = downsampling_sites(nets.made(nets.Vgg), jax.ShapeDtypeStruct((2, 128, 128, 3), jnp.float32))
    hidden = [site for site in sites if site.obstacle]
    lines, first = inspect.getsourcelines(nets.Vgg.__call__)
    pool, cut = (first + lines.index(line) for line in lines if "nnx.max_pool" in line or "::2" in line)
    assert [(site.kind, site.source) for site in hidden] == [
        ("max_pool", f"nets.py:{pool} in __call__"),
        ("slice", f"nets.py:{cut} in __call__"),
    ]
    assert all(site.path == "model" for site in hidden)


class Bare(nnx.Module):
    """What JAX's own functions do, in a scan and in a jitted function too."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.kernel = nnx.Param(jnp.ones((3, 3, 4, 4)))

    def __call__(self, x):
        x = lax.conv_general_dilated(x, self.kernel[...], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.jit(lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"))(x)
        x, _ = lax.scan(lambda x, _: (nnx.relu(nnx.max_pool(x, (3, 3), padding="SAME")), None), x, length=3)
        return nnx.max_pool(x, (2, 1), (2, 1))


def test_bare_functions_of_jax_are_found():
    sites = downsampling_sites(nets.made(Bare), jax.ShapeDtypeStruct((1, 16, 16, 4), jnp.float32))
    assert [(site.kind, site.stride) for site in sites] == [
        ("conv", (2, 2)),
        ("sum_pool", (2, 2)),
        ("max_pool", (2, 1)),
    ]


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.max_pool(nn.Conv(4, (3, 3), strides=2)(x), (2, 2), (2, 2))


def test_a_linen_module_within_is_a_layer_with_functions():
    wrapped = nnx.bridge.lazy_init(nnx.bridge.ToNNX(Linen(), rngs=nnx.Rngs(0)), jnp.zeros((1, 16, 16, 3)))
    model = nnx.Sequential(wrapped, nnx.relu)
    sites = downsampling_sites(model, jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32))
    assert [(site.path, site.kind) for site in sites] == [("layers/0", "conv"), ("layers/0", "max_pool")]


class OwnCall(nnx.Conv):
    def __call__(self, inputs, out_sharding=None):
        return super().__call__(inputs) + 1


class OwnMethod(nnx.Conv):
    gain = 2.0

    def norm(self):
        return jnp.linalg.norm(self.kernel[...])


class OwnInit(nnx.Conv):
    def __init__(self, *, rngs: nnx.Rngs):
        super().__init__(4, 4, (3, 3), strides=2, rngs=rngs)


class Unusual(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs):
        self.own_call = OwnCall(4, 4, (3, 3), strides=2, rngs=rngs)
        self.own_method = OwnMethod(4, 4, (3, 3), strides=2, rngs=rngs)
        self.own_init = OwnInit(rngs=rngs)
        self.up_and_down = nnx.Conv(4, 4, (3, 3), strides=2, input_dilation=3, padding=1, rngs=rngs)
        self.operator = MaxPool(4)
        self.never = nnx.Conv(4, 4, (3, 3), strides=3, rngs=rngs)
        self.relu_too = lambda x: nnx.relu(nnx.max_pool(x, (2, 2), (2, 2)))
        self.whole = lambda x: nnx.avg_pool(x, x.shape[1:3], (2, 2))

    def __call__(self, x, *, train):
        x = self.operator(self.up_and_down(self.own_init(self.own_method(self.own_call(x)))))
        return self.whole(self.relu_too(x)) if not train else x


def test_each_obstacle_is_said():
    example = jax.ShapeDtypeStruct((1, 64, 64, 4), jnp.float32)
    sites = downsampling_sites(nets.made(Unusual), example, call=lambda model, x: model(x, train=False))
    obstacles = {site.path: site.obstacle for site in sites}
    assert obstacles.pop("own_call") == "OwnCall would lose what it adds to nnx.Conv: __call__"
    assert obstacles.pop("own_method") == "OwnMethod would lose what it adds to nnx.Conv: gain, norm"
    assert "dilated" in obstacles.pop("up_and_down")
    assert obstacles.pop("relu_too") == "a function inside a __call__"  # it is more than a pool
    assert obstacles == {"own_init": "", "operator": "", "never": ""}  # and a mean of all is no downsampling
    assert sites["never"].output is None
    assert sites["operator"].kind == "max_pool"


class Wrapped(nnx.Module):
    """A pool that is a module with the function as an attribute."""

    def __init__(self):
        self.f = partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))

    def __call__(self, x):
        return self.f(x)


class WrappedNet(nnx.Module):
    def __init__(self):
        self.pool = Wrapped()

    def __call__(self, x):
        return self.pool(x)


def test_a_function_within_a_site_is_a_part_of_it():
    model, example = WrappedNet(), jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
    for operator in ("blur_pool", "avg_pool", "subsample"):
        assert [site.path for site in downsampling_sites(model, example)] == ["pool"]
        model, report = replace_downsampling(model, operator, example)
        assert [change.site.path for change in report.replaced] == ["pool"]
    assert jax.eval_shape(model, example).shape == (1, 4, 4, 3)


def test_without_an_example_layers_are_found():
    sites = downsampling_sites(nnx.eval_shape(lambda: nets.ResNet(rngs=nnx.Rngs(0))))
    assert {site.path for site in sites} == {"stem", "blocks/1/conv1", "blocks/1/shortcut"}
    assert all(site.macs is None and site.start is None for site in sites)


def test_an_unknown_site_is_answered_with_the_known():
    with pytest.raises(KeyError, match="no site 'nowhere'; there are "):
        downsampling_sites(nets.made(nets.ResNet))["nowhere"]


def test_a_class_of_convolutions_comes_back_with_the_stride():
    model = nets.made(Unusual)
    new, _ = replace_downsampling(model, "blur_pool", where="own_init")
    back, _ = replace_downsampling(new, "strided_conv", where="own_init")
    assert type(back.own_init) is OwnInit
    assert not {"class_before", "downsample"} & set(vars(back.own_init))
