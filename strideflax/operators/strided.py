"""Downsampling by a stride: the plain convolution layer, the strided one, subsampling, and a convolution before a pool."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jax import Array

from strideflax.operators.base import Chain, Downsample, streams
from strideflax.operators.conv import conv, conv_window
from strideflax.operators.geometry import Padding, PerAxis, centred, make_window, per_axis, spatial_size
from strideflax.operators.pool import MaxPool, max_over
from strideflax.operators.receptive_field import WindowPass
from strideflax.window import Window

he_normal = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")


def subsample(x: Array, stride: PerAxis = 2) -> Array:
    """Keep every ``stride``-th pixel, ``y[i] = x[s i]``.

    Args:
        x: ``[batch, *spatial, channels]``, one to three spatial axes.
        stride: an int or one per axis.

    Returns:
        ``[batch, *ceil(spatial / stride), channels]``.

    Raises:
        ValueError: a stride or rank that does not fit.
    """
    x = jnp.asarray(x)
    map_size = spatial_size(x)
    strides = per_axis(stride, len(map_size), "stride")
    return _take(x, strides)


def _take(x: Array, stride: Sequence[int]) -> Array:
    return x[:, *(slice(None, None, s) for s in stride)]


def conv_pool(x: Array, kernel: Array, *, stride: PerAxis = 2, padding: Padding = "SYMMETRIC") -> Array:
    """Convolve at every position, then take the maximum of windows as large as the stride.

    Args:
        x: ``[batch, *spatial, in_channels]``, one to three spatial axes.
        kernel: ``[*window, in_channels, out_channels]``.
        stride: of the maximum, and the size of its windows; an int or one per axis.
        padding: ``"SYMMETRIC"``, ``"SAME"``, ``"SAME_LOWER"``, ``"REFLECT"`` or ``"CIRCULAR"``, of both.

    Returns:
        ``[batch, *ceil(spatial / stride), out_channels]``.

    Raises:
        ValueError: as `strideflax.conv` and `strideflax.max_pool`.
    """
    y = conv(x, kernel, padding=centred(padding, jnp.shape(kernel)[:-2]))
    map_size = spatial_size(y)
    strides = per_axis(stride, len(map_size), "stride")
    return max_over(y, make_window(map_size, strides, stride=strides, padding=centred(padding, strides)))


class StridedConv(Downsample):
    """A convolution (3 x 3 by default, no bias, He initialisation) evaluated at every ``stride``-th position.

    ``y[i] = sum_t w[t] x[s i + t - pad_low]``. Learns what to keep, costs 1/s^2 of the dense convolution, and subsamples
    without any low-pass of its own. Phase 0 with centred padding, +1/2 to +1 with ``SAME`` on even sizes. With ``stride=1``
    it is the plain convolution layer. Sources: Springenberg et al. 2015 (arXiv:1412.6806); He et al. 2016, and He et al.
    2015 (arXiv:1502.01852) for the initial values, normal with variance 2 / fan_in.

    When it helps: as the baseline. It is the cheapest and learns what to keep, but it aliases.
    """

    convolves = True
    default_window = 3

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create the kernel, ``[*window, in_features, out_features]``."""
        shape = (*self.window, self.in_features, self.out_features)
        self.kernel = nnx.Param(he_normal(streams(self, rngs).params(), shape))

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, in_features]`` to ``[..., out_features]``, computing in the type of ``x``."""
        kernel = self.kernel[...].astype(x.dtype)
        return conv_window(x, kernel, self._window_on(x.shape[1:-1]).at_stride(stride))

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return its one pass: every output sees all input channels."""
        window = self._window_on(map_size)
        return (WindowPass(window=window, fan_in=self.in_features, features=self.out_features),)


def dense_conv(layer: Downsample, rngs: nnx.Rngs | None) -> StridedConv:
    """Return a convolution at stride 1 with the channels, window and padding of ``layer``, which it is a part of."""
    ones = (1,) * len(layer.stride)
    return StridedConv(
        layer.in_features, layer.out_features, stride=ones, window=layer.window, padding=layer.padding, rngs=rngs
    )


class Subsample(Downsample):
    """Keep every ``stride``-th pixel: ``y[i] = x[s i]``.

    Throws away all but 1/s^2 of its input and lets every frequency above the new Nyquist alias: the baseline of all others,
    and what a 1 x 1 strided shortcut does. Phase 0.

    When it helps: to see what the low-pass of the other operators is worth.
    """

    default_window = None

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its every ``stride``-th pixel."""
        return _take(x, stride)

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return its one pass, which looks at one pixel of every block."""
        window = Window.dense((1,) * len(self.stride)).at_stride(self.stride)
        return (WindowPass(window=window, features=self.in_features),)


class ConvPool(Chain):
    """A dense convolution (3 x 3 by default), then a maximum over windows as large as the stride.

    The "ConvPool" of Springenberg et al. 2015: the convolution sees every position, at s^2 times the strided one's cost.
    Phase: the pool's, half a pixel at stride 2.

    When it helps: where the computation that a stride saves can be spent on a dense convolution.
    """

    convolves = True
    default_window = 3

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create the convolution and the pool."""
        self.conv = dense_conv(self, rngs)
        self.pool = MaxPool(self.out_features, stride=self.stride, padding=self.padding)

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, in_features]`` to ``[..., out_features]``."""
        return self.pool._at_stride(self.conv(x), stride)

    def _layers(self) -> tuple[Downsample, ...]:
        return self.conv, self.pool
