"""A low-pass filter that is predicted for every position: pixel-adaptive blurring before the subsampling."""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from strideflax.kernels import window_pixels
from strideflax.operators.base import Downsample, streams
from strideflax.operators.conv import conv_window
from strideflax.operators.geometry import Padding, PerAxis, make_window, require_real_pixels, spatial_size
from strideflax.operators.receptive_field import WindowPass
from strideflax.operators.strided import he_normal
from strideflax.window import Window


def pixel_adaptive_pool(
    x: Array, kernel: Array, bias: Array, *, stride: PerAxis = 2, padding: Padding = "REFLECT"
) -> Array:
    """Average each window with weights that a convolution predicts there, one set for each group of channels.

    ``y[i, c] = sum_t w[i, g, t] x[s i + t - pad_low, c]`` with
    ``w[i, g] = softmax_t(conv(x, kernel)[i, g, t] + bias[g, t])`` and ``g`` the group of channel ``c``: never negative and
    of sum 1, so a low-pass. A zero kernel and bias give the average.

    Args:
        x: ``[batch, *spatial, channels]``, floating point, one to three spatial axes.
        kernel: ``[*window, channels, groups * taps]``, with ``taps`` the number of the window's pixels, row by row.
        bias: ``[groups * taps]``.
        stride: an int or one per axis.
        padding: as in `strideflax.conv`, of the convolution and the window; zero padding has no weight.

    Returns:
        ``[batch, *output_size, channels]`` in the type of ``x``; weights are computed in float32 or better.

    Raises:
        ValueError: a kernel or bias that does not fit, groups that do not divide the channels, or as `strideflax.max_pool`.
    """
    x, kernel, bias = jnp.asarray(x), jnp.asarray(kernel), jnp.asarray(bias)
    map_size = spatial_size(x)
    taps = math.prod(kernel.shape[:-2])
    groups = kernel.shape[-1] // max(taps, 1)
    fits = kernel.ndim == x.ndim and kernel.shape[-2] == x.shape[-1] and kernel.shape[-1] == groups * taps
    if not fits or not groups or x.shape[-1] % groups or bias.shape != kernel.shape[-1:]:
        raise ValueError(
            "kernel must be [*window, channels, groups * taps] and bias [groups * taps], with groups that divide the channels, "
            f"for an input of shape {x.shape}; got shapes {kernel.shape} and {bias.shape}"
        )
    window = make_window(map_size, kernel.shape[:-2], stride=stride, padding=padding)
    return _pixel_adaptive(x, kernel, bias, require_real_pixels(window, map_size, padding))


@partial(jax.jit, static_argnames="window")
def _pixel_adaptive(x: Array, kernel: Array, bias: Array, window: Window) -> Array:
    pixels, real = window_pixels(x, window)
    floating = x.astype(jnp.result_type(x.dtype, float))
    logits = conv_window(floating, kernel.astype(floating.dtype), window).astype(pixels.dtype)
    taps = pixels.shape[-2]
    groups, channels = kernel.shape[-1] // taps, x.shape[-1]
    logits = (logits + jax.lax.expand_dims(bias.astype(logits.dtype), range(logits.ndim - 1))).reshape(
        *pixels.shape[:-2], groups, taps
    )
    weights = jax.nn.softmax(jnp.where(jnp.swapaxes(real, -1, -2), logits, -jnp.inf), axis=-1)
    grouped = pixels.reshape(*pixels.shape[:-1], groups, channels // groups)  # [..., taps, groups, channels of a group]
    y = (jnp.swapaxes(weights, -1, -2)[..., None] * grouped).sum(axis=-3)
    return y.reshape(*y.shape[:-2], channels).astype(floating.dtype)


class PASA(Downsample):
    """Pixel-adaptive blurring: a filter of ``window`` taps (3 by default) predicted at every output, for groups of channels.

    ``y[i, c] = sum_t w[i, g, t] x[s i + t - pad_low, c]``, ``w[i, g] = softmax_t(conv(x)[i, g, t] + bias[g, t])``: the
    content decides how much each place is blurred, and no weight is negative. Eight groups of channels share a filter, or
    as many as divide both 8 and the channels. Zou et al. normalise the logits by a batch norm, which in evaluation is an
    affine map, as kernel and bias are here; and their released code takes one softmax over all groups together, by which
    the weights of a group need not add up to 1. A constant stays; zero padding has no weight. Phase 0 for odd lengths.
    Costs the convolution to ``groups * taps`` channels, at the stride, and a multiply-add per tap. Source: Zou, Xiao, Yu
    and Lee 2020 (arXiv:2008.09604).

    When it helps: where a fixed blur takes too much from edges and too little from textures.
    """

    default_window = 3
    default_padding = "REFLECT"
    most_groups = 8

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create the predicting convolution, ``[*window, in_features, groups * taps]``, and its bias."""
        self.groups = math.gcd(self.in_features, self.most_groups)
        weights = self.groups * math.prod(self.window)
        self.kernel = nnx.Param(he_normal(streams(self, rngs).params(), (*self.window, self.in_features, weights)))
        self.bias = nnx.Param(jnp.zeros(weights))

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its windows' means by predicted weights."""
        window = self._window_on(x.shape[1:-1]).at_stride(stride)
        return _pixel_adaptive(x, self.kernel[...], self.bias[...], window)

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return its one pass: a multiply-add per tap, and the convolution that predicts the taps' weights."""
        taps = math.prod(self.window)
        predicting = taps * self.groups * taps
        return (WindowPass(window=self._window_on(map_size), features=self.in_features, taps=taps + predicting),)
