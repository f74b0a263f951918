"""Convolutions with a fixed low-pass beside them: conv-blur, the shortcut of ResNet-D, and a blurred shortcut."""

import jax.numpy as jnp
from flax import nnx
from jax import Array

from strideflax.operators.base import Chain, Downsample
from strideflax.operators.blur import BlurPool, blur_pool
from strideflax.operators.conv import conv
from strideflax.operators.geometry import PerAxis, centred, per_axis, spatial_size
from strideflax.operators.pool import AvgPool, avg_pool
from strideflax.operators.strided import StridedConv, dense_conv


def conv_blur(x: Array, kernel: Array, *, taps: int = 3, stride: PerAxis = 2, padding: str = "REFLECT") -> Array:
    """Convolve at every position, take the ReLU, blur with a binomial filter and keep every ``stride``-th pixel.

    Args:
        x: ``[batch, *spatial, in_channels]``, one to three spatial axes.
        kernel: ``[*window, in_channels, out_channels]``.
        taps: length of the filter, on each axis with a stride above 1.
        stride: an int or one per axis.
        padding: ``"SYMMETRIC"``, ``"SAME"``, ``"SAME_LOWER"``, ``"REFLECT"`` or ``"CIRCULAR"``, of both.

    Returns:
        ``[batch, *ceil(spatial / stride), out_channels]``.

    Raises:
        ValueError: as `strideflax.conv` and `strideflax.blur_pool`.
    """
    dense = nnx.relu(conv(x, kernel, padding=centred(padding, jnp.shape(kernel)[:-2])))
    strides = per_axis(stride, len(spatial_size(dense)), "stride")
    lengths = [taps if s > 1 else 1 for s in strides]
    return blur_pool(dense, lengths, stride=strides, padding=centred(padding, lengths))


def resnet_d_shortcut(x: Array, kernel: Array, *, stride: PerAxis = 2, padding: str = "SYMMETRIC") -> Array:
    """Average blocks of ``stride`` pixels, then convolve 1 x 1: ResNet-D's projection, which reads every pixel.

    Args:
        x: ``[batch, *spatial, in_channels]``, one to three spatial axes.
        kernel: ``[1, ..., in_channels, out_channels]``.
        stride: an int or one per axis.
        padding: fills the last block of sizes that the stride does not divide; zeros are not counted in the mean.

    Returns:
        ``[batch, *ceil(spatial / stride), out_channels]``.

    Raises:
        ValueError: as `strideflax.conv` and `strideflax.avg_pool`.
    """
    x = jnp.asarray(x)
    strides = per_axis(stride, len(spatial_size(x)), "stride")
    return conv(avg_pool(x, strides, padding=centred(padding, strides)), kernel)


class ConvBlur(Chain):
    """A dense convolution (3 x 3 by default), ReLU, then `BlurPool` (3 taps by default): an antialiased strided convolution.

    ``y = blur(relu(conv(x)))[::s]``, at s^2 times the strided convolution's cost, with a low-pass right before the
    subsampling. ``window`` is the convolution's, as for every operator that convolves, since the model hands it the
    kernel size; ``taps`` is the filter's length. On a block's shortcut stands `BlurProjection` instead.

    Phase: the filter's, 0 for an odd length. Border: the convolution's and the filter's are the same rule; zeros darken the
    rim. Source: Zhang 2019 (arXiv:1904.11486).

    When it helps: in place of a strided convolution, without its aliasing.
    """

    convolves = True
    default_window = 3
    default_taps = 3
    default_padding = "REFLECT"

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create the convolution and the filter."""
        self.conv = dense_conv(self, rngs)
        features = self._blurred_features()
        self.blur = BlurPool(features, stride=self.stride, window=self.taps, padding=self.padding)

    def _blurred_features(self) -> int:
        return self.out_features

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, in_features]`` to ``[..., out_features]``."""
        return self.blur._at_stride(nnx.relu(self.conv(x)), stride)

    def _layers(self) -> tuple[Downsample, ...]:
        return self.conv, self.blur


class BlurProjection(ConvBlur):
    """A blur and then a 1 x 1 convolution, ``y = conv1x1(blur(x)[::s])``: the shortcut beside `ConvBlur`.

    A projection is linear, so it commutes with the filter and comes after it, on the small map. Phase and border as
    `BlurPool`. Source: Zhang 2019 (arXiv:1904.11486).
    """

    default_window = 1

    def _blurred_features(self) -> int:
        return self.in_features

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, in_features]`` to ``[..., out_features]``."""
        return self.conv(self.blur._at_stride(x, stride))

    def _layers(self) -> tuple[Downsample, ...]:
        return self.blur, self.conv


class ResNetD(Chain):
    """A strided convolution (3 x 3 by default), on whose shortcut stands `MeanProjection`: ResNet-D's tweak.

    The main path is `StridedConv`. Phase 0 on the main path, the mean's on the shortcut, half a pixel at stride 2: a residual
    block of it is misaligned by that half pixel. Source: He et al. 2019 (arXiv:1812.01187), their ResNet-D tweak on
    ResNet-B's main path.

    When it helps: as a shortcut that reads every pixel, almost for free.
    """

    convolves = True
    default_window = 3

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create the strided convolution."""
        self.conv = StridedConv(
            self.in_features, self.out_features, stride=self.stride, window=self.window, padding=self.padding, rngs=rngs
        )

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, in_features]`` to ``[..., out_features]``."""
        return self.conv._at_stride(x, stride)

    def _layers(self) -> tuple[Downsample, ...]:
        return (self.conv,)


class MeanProjection(Chain):
    """A mean over blocks and then a 1 x 1 convolution, ``y = conv1x1(avg_pool(x, s, s))``: ResNet-D's shortcut.

    The 1 x 1 convolution at stride s looks at one pixel of every s^2; the mean looks at all, for the price of its adds.
    Phase: the mean's, half a pixel at stride 2. Zero padding is not counted in the mean. Source: He et al. 2019
    (arXiv:1812.01187).
    """

    convolves = True
    default_window = 1

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create the mean and the convolution."""
        self.mean = AvgPool(self.in_features, stride=self.stride, padding=self.padding)
        self.conv = dense_conv(self, rngs)

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, in_features]`` to ``[..., out_features]``."""
        return self.conv(self.mean._at_stride(x, stride))

    def _layers(self) -> tuple[Downsample, ...]:
        return self.mean, self.conv
