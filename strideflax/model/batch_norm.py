"""BatchNorm whose training step keeps nothing but its input, with the gradient written out.

Flax's own, differentiated by JAX, stores the centred input besides the input: another pass over every feature map.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array, lax


class BatchNorm(nnx.BatchNorm):
    """`flax.nnx.BatchNorm` over the last axis, with scale, bias and the same running statistics.

    Differentiable in reverse mode, to any order. Source: Ioffe and Szegedy 2015 (arXiv:1502.03167).
    """

    def __call__(self, x: Array, use_running_average: bool | None = None, **options: Any) -> Array:
        """Normalise ``[batch, *spatial, channels]`` by its own statistics, or by the running ones."""
        if use_running_average:
            return super().__call__(x, use_running_average=True, **options)
        assert self.scale is not None
        assert self.bias is not None
        y, mean, variance = normalized(x, self.scale[...], self.bias[...], self.epsilon)
        for running, now in ((self.mean, mean), (self.var, variance)):
            running[...] = self.momentum * running[...] + (1 - self.momentum) * lax.stop_gradient(now)
        return y.astype(self.dtype)


def normalized(x: Array, scale: Array, bias: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """Return ``(x - mean) / sqrt(variance + epsilon) * scale + bias``, and the mean and variance per channel, float32.

    The last two are constants to a derivative.
    """
    y, mean, variance = _normalized(x, scale, bias, epsilon)
    return y, lax.stop_gradient(mean), lax.stop_gradient(variance)


@jax.custom_vjp
def _normalized(x: Array, scale: Array, bias: Array, epsilon: float) -> tuple[Array, Array, Array]:
    return _forward(x, scale, bias, epsilon)[0]


def _forward(x: Array, scale: Array, bias: Array, epsilon: float) -> tuple[tuple[Array, Array, Array], Any]:
    mean = _mean(x)
    variance = jnp.maximum(_mean(lax.square(x.astype(jnp.float32))) - lax.square(mean), 0.0)
    factor = lax.rsqrt(variance + epsilon)
    gain = factor * scale
    return (x * _wide(gain, x) + _wide(bias - mean * gain, x), mean, variance), (x, mean, factor, scale)


def _backward(kept: Any, cotangents: tuple[Array, Array, Array]) -> tuple[Array, Array, Array, None]:
    """With ``n = (x - mean) factor``: ``dx = gain (g - mean(g) - n mean(g n))``, gathered into one pass over x and g."""
    x, mean, factor, scale = kept
    g = cotangents[0].astype(jnp.float32)
    g_mean = _mean(g)
    gn_mean = (_mean(g * x) - mean * g_mean) * factor
    gain = factor * scale
    slope = -gain * factor * gn_mean
    dx = g * _wide(gain, x) + (x * _wide(slope, x) - _wide(gain * g_mean + slope * mean, x))
    count = x.size // x.shape[-1]
    return dx.astype(x.dtype), count * gn_mean, count * g_mean, None


def _mean(x: Array) -> Array:
    return x.mean(tuple(range(x.ndim - 1)), dtype=jnp.float32)


def _wide(channels: Array, x: Array) -> Array:
    return channels.reshape((1,) * (x.ndim - 1) + channels.shape)


_normalized.defvjp(_forward, _backward)
