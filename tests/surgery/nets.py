"""Small networks with the constructions that people's networks have."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array


class Block(nnx.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, *, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(inputs, outputs, (3, 3), strides=stride, padding=1, use_bias=False, rngs=rngs)
        self.norm1 = nnx.BatchNorm(outputs, use_running_average=True, rngs=rngs)
        self.conv2 = nnx.Conv(outputs, outputs, (3, 3), padding=1, use_bias=False, rngs=rngs)
        self.shortcut = nnx.Conv(inputs, outputs, (1, 1), strides=stride, rngs=rngs) if stride > 1 else None

    def __call__(self, x: Array) -> Array:
        y = self.conv2(nnx.relu(self.norm1(self.conv1(x))))
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nnx.Module):
    """A stem with a pool in an attribute, blocks with shortcuts in a list, a classifier."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.stem = nnx.Conv(3, 8, (7, 7), strides=2, padding="SAME", rngs=rngs)
        self.pool = partial(nnx.max_pool, window_shape=(3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        self.blocks = nnx.List([Block(8, 8, 1, rngs=rngs), Block(8, 16, 2, rngs=rngs)])
        self.head = nnx.Linear(16, 5, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = self.pool(nnx.relu(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((1, 2)))


class Tiny(nnx.Module):
    """One site of each kind: a pool, a convolution, a shortcut."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.pool = partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))
        self.conv = nnx.Conv(1, 4, (3, 3), strides=2, padding=1, rngs=rngs)
        self.shortcut = nnx.Conv(1, 4, (1, 1), strides=2, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = self.pool(x)
        return self.conv(x) + self.shortcut(x)


class MeanPool(nnx.Module):
    """A thin wrapper of a pool."""

    def __init__(self, size: int):
        self.size = size

    def __call__(self, x: Array) -> Array:
        return nnx.avg_pool(x, (self.size, self.size), (self.size, self.size), "SAME", count_include_pad=False)


class Vgg(nnx.Module):
    """Pools in every way: a lambda in a sequence, a module, one attribute for two widths, functions inside the call."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.features = nnx.Sequential(
            nnx.Conv(3, 4, (3, 3), rngs=rngs),
            nnx.relu,
            lambda x: nnx.max_pool(x, (2, 2), (2, 2)),
            nnx.Conv(4, 6, (3, 3), rngs=rngs),
            MeanPool(2),
        )
        self.both = partial(nnx.avg_pool, window_shape=(2, 2), strides=(2, 2))
        self.wider = nnx.Conv(6, 8, (1, 1), rngs=rngs)
        self.head = nnx.Linear(8, 5, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = self.both(self.wider(self.both(self.features(x))))
        x = nnx.max_pool(x, (2, 2), (2, 2))
        x = x[:, ::2, ::2]
        return self.head(nnx.avg_pool(x, x.shape[1:3]).mean((1, 2)))


class UNet(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs):
        conv = partial(nnx.Conv, kernel_size=(3, 3), rngs=rngs)
        self.down = nnx.Dict(first=conv(1, 4), second=conv(4, 8))
        self.pool = partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))
        self.up = nnx.ConvTranspose(8, 4, (2, 2), strides=(2, 2), padding="VALID", rngs=rngs)
        self.out = conv(8, 2)

    def __call__(self, x: Array) -> Array:
        first = nnx.relu(self.down.first(x))
        second = nnx.relu(self.down.second(self.pool(first)))
        return self.out(jnp.concatenate([first, self.up(second)], -1))


class Shared(nnx.Module):
    """One strided convolution under several names, within a tuple and a dict as well."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.conv = nnx.Conv(4, 4, (3, 3), strides=2, rngs=rngs)
        self.again = self.conv
        self.pool = MeanPool(2)
        self.held = nnx.data((self.conv, {"pool": self.pool}))

    def __call__(self, x: Array) -> Array:
        return self.held[1]["pool"](self.again(self.conv(x)) + self.again(self.held[0](x)))


class Line(nnx.Module):
    """Strided convolutions of one rank."""

    def __init__(self, axes: int, *, rngs: nnx.Rngs):
        self.first = nnx.Conv(3, 4, (3,) * axes, strides=2, rngs=rngs)
        self.second = nnx.Conv(4, 4, (2,) * axes, strides=2, padding="VALID", rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return self.second(nnx.relu(self.first(x)))


@functools.cache
def made(kind: type[nnx.Module], *arguments: int) -> nnx.Module:
    """Return a network of ``kind``; nobody changes it."""
    return filled(nnx.eval_shape(lambda: kind(*arguments, rngs=nnx.Rngs(0))))


def filled(model: nnx.Module, seed: int = 0) -> nnx.Module:
    """Return ``model`` with weights of NumPy's, which need no compiling."""
    generator = np.random.default_rng(seed)

    def weights(leaf: jax.ShapeDtypeStruct) -> Array:
        if leaf.ndim > 1:
            values = generator.standard_normal(leaf.shape) / np.sqrt(np.prod(leaf.shape[:-1]))
        else:
            values = generator.uniform(0.5, 1, leaf.shape)  # scales, variances
        return jnp.asarray(values, leaf.dtype)

    nnx.update(model, jax.tree.map(weights, nnx.state(model)))
    return model


IMAGES = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)


def images(*shape: int, seed: int = 0) -> Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)
