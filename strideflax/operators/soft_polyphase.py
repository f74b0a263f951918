"""Translation invariant polyphase sampling: all phases of the grid, each channel with weights of its own."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from strideflax.operators.base import Downsample, streams
from strideflax.operators.conv import conv
from strideflax.operators.geometry import PerAxis, per_axis, spatial_size
from strideflax.operators.rearrange import block_window, phases
from strideflax.operators.receptive_field import WindowPass
from strideflax.operators.strided import he_normal


def soft_polyphase(x: Array, kernel: Array, gain: Array, *, stride: PerAxis = 2) -> Array:
    """Return the weighted sum of the phases of ``x``, each channel with its own weights, see `phase_weights`.

    Args:
        x: ``[batch, *spatial, channels]``, one to three spatial axes. Where ``stride`` does not divide a size, the map wraps
            around, so that every phase has ``ceil(n / stride)`` pixels.
        kernel: ``[3, ..., 1, channels]``, of a convolution of each channel on its own.
        gain: ``[channels]``.
        stride: an int or one per axis.

    Returns:
        ``[batch, *ceil(spatial / stride), channels]``.

    Raises:
        ValueError: a stride, rank, kernel or gain that does not fit.
    """
    x = jnp.asarray(x)
    strides = per_axis(stride, len(spatial_size(x)), "stride")
    weights = phase_weights(x, kernel, gain, strides)
    dtype = jnp.result_type(x.dtype, float)
    total = jnp.zeros((), weights.dtype)
    for p, component in enumerate(phases(x, strides, strides, "CIRCULAR")):
        weight = weights[:, p].reshape(x.shape[0], *(1,) * len(strides), x.shape[-1])
        total = total + component.astype(weights.dtype) * weight
    return total.astype(dtype)


def phase_weights(x: Array, kernel: Array, gain: Array, stride: PerAxis = 2) -> Array:
    """Return ``softmax_p(gain . mean(relu(kernel * x) at phase p))``, ``[batch, phases, channels]``, float32 or better.

    The convolution is circular and the mean global, so a circularly shifted image has the same weights in another order.
    """
    x, gain = jnp.asarray(x), jnp.asarray(gain)
    strides = per_axis(stride, len(spatial_size(x)), "stride")
    channels = x.shape[-1]
    if gain.shape != (channels,):
        raise ValueError(f"gain must be one number for each of {channels} channels, got shape {gain.shape}")
    dtype = jnp.result_type(x.dtype, float)
    hidden = nnx.relu(conv(x.astype(dtype), jnp.asarray(kernel, dtype), padding="CIRCULAR", groups=channels))
    wide = jnp.promote_types(dtype, jnp.float32)
    spatial = tuple(range(1, x.ndim - 1))
    means = jnp.stack([c.mean(spatial, dtype=wide) for c in phases(hidden, strides, strides, "CIRCULAR")], axis=1)
    return jax.nn.softmax(means * gain.astype(wide)[None, None], axis=1)


class TIPS(Downsample):
    """Translation invariant polyphase sampling (TIPS): mix all phases, with weights per channel that depend on the image.

    ``y[i, c] = sum_p w[p, c] x[s i + p, c]`` with ``w[p, c] = softmax_p(g[c] mean_i(relu(k[c] * x[., c])[s i + p]))``: a
    convolution of each channel with 3 taps per axis, circular, a rectifier, and each phase's mean. A circular shift of the
    image reorders the weights with the phases, so a global mean behind it does not change; the map itself moves by whole
    pixels only as far as one weight outgrows the others. Main path and shortcut learn their own weights. Phase: None, it
    depends on the image. Costs 3 multiply-adds per axis's tap and input value for the weights, and one for the mixture.
    Saha and Gokhale train it with two more losses, which are the trainer's to add; their released code takes the means of
    quadrants for those of phases. Source: Saha and Gokhale 2024 (arXiv:2404.07410).

    When it helps: where `lps` does, with a choice for each channel and nothing random in training.
    """

    default_window = None

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create the convolution's kernel, ``[3, ..., 1, in_features]``, and the gains."""
        taps = (3,) * len(self.stride)
        self.kernel = nnx.Param(he_normal(streams(self, rngs).params(), (*taps, 1, self.in_features)))
        self.gain = nnx.Param(jnp.ones(self.in_features))

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to the mixture of its phases."""
        return soft_polyphase(x, self.kernel[...], self.gain[...], stride=self.stride)

    def dense(self, x: Array) -> Array:
        """Return ``x``: nothing is filtered before the phases are taken apart."""
        return self._checked(x)

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return its one pass over blocks; its cost is the convolution's at full resolution, and a multiply-add per pixel."""
        window = block_window(map_size, self.stride, self.stride, "CIRCULAR")
        taps = math.prod(self.stride) * (3 ** len(self.stride) + 1)
        return (WindowPass(window=window, features=self.in_features, taps=taps),)

    def phase(self, map_size: Sequence[int]) -> None:
        """Return None: it depends on the image."""
        return None
