import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from strideflax.measuring.sites import operator_sites, site_arrivals
from strideflax.operators.polyphase import AdaptivePolyphase
from strideflax.operators.pool import MaxPool
from strideflax.operators.strided import ConvPool


class Net(nnx.Module):
    def __init__(self):
        self.first = ConvPool(2, 3, stride=2, rngs=nnx.Rngs(0))  # holds a convolution of its own
        self.layers = nnx.List([MaxPool(3, stride=1, window=3), AdaptivePolyphase(3, stride=(1, 2))])

    def __call__(self, x):
        x = self.layers[0](self.first(x))
        return self.layers[1](x, index=self.layers[1].select(x))


def test_sites_are_the_outermost_operators_with_a_stride():
    sites = operator_sites(Net())
    assert {name: type(site).__name__ for name, site in sites.items()} == {
        "first": "ConvPool",
        "layers/1": "AdaptivePolyphase",
    }


class Block(nnx.Module):
    def __init__(self):
        self.pools = nnx.Sequential(MaxPool(3, stride=2), MaxPool(3, stride=2))


class NetOfBlocks(nnx.Module):
    def __init__(self):
        self.blocks = nnx.List([Block(), MaxPool(3, stride=2)])


def test_blocks_without_a_name_and_operators_in_one_list_are_told_apart():
    assert list(operator_sites(NetOfBlocks())) == ["blocks/0/pools/layers/0", "blocks/0/pools/layers/1", "blocks/1"]


def test_an_operator_that_is_the_whole_model_is_its_site():
    x = jnp.ones((1, 4, 4, 3))
    assert list(operator_sites(MaxPool(3, stride=2))) == ["model"]
    assert np.array_equal(site_arrivals(MaxPool(3, stride=2), x)["model"].x, x)


def test_arrivals_are_what_each_operator_is_called_with_and_the_model_stays():
    net, x = Net(), jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 8, 2)), jnp.float32)
    arrivals = jax.jit(lambda x: site_arrivals(net, x))(x)
    assert np.array_equal(arrivals["first"].x, x)
    assert arrivals["first"].phase is None
    middle = net.layers[0](net.first(x))
    assert np.allclose(arrivals["layers/1"].x, middle, atol=1e-6)
    assert np.array_equal(arrivals["layers/1"].phase, net.layers[1].select(middle))
    assert type(net.first) is ConvPool
