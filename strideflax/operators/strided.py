"""Downsampling by a stride: the plain convolution layer, the strided one, subsampling, and a convolution before a pool."""

from collections.abc import Sequence

from flax import nnx
from jax import Array

from strideflax.operators.base import Downsample
from strideflax.operators.conv import conv
from strideflax.operators.geometry import Stage
from strideflax.operators.pool import max_pool

he_normal = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")


class StridedConv(Downsample):
    """A convolution (3 x 3 by default, no bias, He initialisation) evaluated at every ``stride``-th position.

    ``y[i] = sum_t w[t] x[s i + t - pad_low]``. Learns what to keep, costs 1/s^2 of the dense convolution, and subsamples
    without any low-pass of its own. Phase 0 with centred padding, +1/2 to +1 with ``SAME`` on even sizes. With ``stride=1``
    it is the plain convolution layer. Sources: Springenberg et al. 2015 (arXiv:1412.6806); He et al. 2016, and He et al.
    2015 (arXiv:1502.01852) for the initial values, normal with variance 2 / fan_in.
    """

    convolves = True
    default_window = 3

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        stride: int | Sequence[int] = 2,
        window: int | Sequence[int] | None = None,
        padding: str = "SYMMETRIC",
        rngs: nnx.Rngs,
    ):
        super().__init__(in_features, out_features, stride=stride, window=window, padding=padding)
        shape = (*self.window, self.in_features, self.out_features)
        self.kernel = nnx.Param(he_normal(rngs.params(), shape))

    def at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, height, width, in_features]`` to ``[..., out_features]``, computing in the type of ``x``."""
        kernel = self.kernel[...].astype(x.dtype)
        return conv(x, kernel, stride=stride, padding=self.rule(x.shape[1:3]))

    def stages(self, size: Sequence[int]) -> tuple[Stage, ...]:
        """Return its one step: every output sees all input channels."""
        return (self.stage(size, self.window, self.stride, fan_in=self.in_features, features=self.out_features),)


class Subsample(Downsample):
    """Keep every ``stride``-th pixel: ``y[i] = x[s i]``.

    Throws away all but 1/s^2 of its input and lets every frequency above the new Nyquist alias: the baseline of all others,
    and what a 1 x 1 strided shortcut does. Phase 0.
    """

    default_window = 1
    windowless = True

    def at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, height, width, channels]`` to its every ``stride``-th pixel."""
        return x[:, :: stride[0], :: stride[1]]


class ConvPool(Downsample):
    """A dense convolution (3 x 3 by default), then a maximum over windows as large as the stride.

    The "ConvPool" of Springenberg et al. 2015: the convolution sees every position, at s^2 times the strided one's cost.
    Phase: the pool's, half a pixel at stride 2.
    """

    convolves = True
    default_window = 3

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        stride: int | Sequence[int] = 2,
        window: int | Sequence[int] | None = None,
        padding: str = "SYMMETRIC",
        rngs: nnx.Rngs,
    ):
        super().__init__(in_features, out_features, stride=stride, window=window, padding=padding)
        self.conv = StridedConv(in_features, out_features, stride=1, window=self.window, padding=padding, rngs=rngs)

    def at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, height, width, in_features]`` to ``[..., out_features]``."""
        return max_pool(self.conv(x), self.stride, stride=stride, padding=self.rule(x.shape[1:3], self.stride))

    def stages(self, size: Sequence[int]) -> tuple[Stage, ...]:
        """Return the convolution's step and the pool's."""
        return *self.conv.stages(size), self.stage(size, self.stride, self.stride, features=self.out_features)
