"""BatchNorm whose training step keeps nothing but its input, with the gradient written out.

Flax's own, differentiated by JAX, stores the centred input besides the input: another pass over every feature map.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array, lax

# Squared mean over variance, from which the variance is taken again from centred values: ``E[x^2] - E[x]^2`` has lost three of
# float32's seven digits by then. At a mean of 1e4 and a deviation of 1 it has none left. Ordinary maps never get there, and
# save the second pass.
ILL_CONDITIONED = 1000.0


class BatchNorm(nnx.BatchNorm):
    """`flax.nnx.BatchNorm`, with the same arguments, parameters and running statistics.

    Over the last axis, with scale and bias and without a mask or other devices' statistics, its training step is ours:
    differentiable in reverse mode, to any order. Everything else is Flax's own. Source: Ioffe and Szegedy 2015
    (arXiv:1502.03167).
    """

    def __call__(self, x: Array, use_running_average: bool | None = None, *, mask: Array | None = None) -> Array:
        """Normalise ``[batch, *spatial, channels]`` by its own statistics, or by the running ones.

        Args:
            x: what to normalise.
            use_running_average: True in evaluation; None follows ``.train()`` and ``.eval()``.
            mask: True where a value counts, broadcast to ``x``; None counts all.
        """
        in_evaluation = self.use_running_average if use_running_average is None else use_running_average
        is_plain = mask is None and self.axis_name is None and self.axis in (-1, x.ndim - 1)
        if in_evaluation or not is_plain or self.scale is None or self.bias is None:
            return super().__call__(x, use_running_average=use_running_average, mask=mask)
        y, mean, variance = normalized(x, self.scale[...], self.bias[...], self.epsilon)
        for running, now in ((self.mean, mean), (self.var, variance)):
            running[...] = self.momentum * running[...] + (1 - self.momentum) * lax.stop_gradient(now)
        return y.astype(self.dtype or jnp.result_type(x, self.param_dtype))


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
    mean, variance = lax.platform_dependent(x, cpu=_statistics, default=_statistics_without_a_branch)
    factor = lax.rsqrt(variance + epsilon)
    gain = factor * scale
    return (x * _wide(gain, x) + _wide(bias - mean * gain, x), mean, variance), (x, mean, factor, scale)


def _statistics(x: Array) -> tuple[Array, Array]:
    mean = _mean(x)
    variance = jnp.maximum(_mean(lax.square(x.astype(jnp.float32))) - lax.square(mean), 0.0)
    lost_digits = jnp.any(lax.square(mean) > ILL_CONDITIONED * variance)
    variance = lax.cond(
        lost_digits, lambda: _mean(lax.square(x.astype(jnp.float32) - _wide(mean, x))), lambda: variance
    )
    return mean, variance


def _statistics_without_a_branch(x: Array) -> tuple[Array, Array]:
    """As `_statistics`, for accelerators, where the host waits for the device before it can take a branch.

    The sums are of distances to one pixel, the middle of the first map, so they stay about as small as the deviation and lose
    no digits however far the mean is from zero. One pass reads ``x`` for both.
    """
    middle = tuple(size // 2 for size in x.shape[1:-1])
    pixel = x[(0, *middle)].astype(jnp.float32)
    distance = x.astype(jnp.float32) - _wide(pixel, x)
    offset = _mean(distance)
    return pixel + offset, jnp.maximum(_mean(lax.square(distance)) - lax.square(offset), 0.0)


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
