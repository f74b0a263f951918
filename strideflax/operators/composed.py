"""Convolutions with a fixed low-pass beside them: conv-blur, and the shortcut of ResNet-D."""

from collections.abc import Sequence

from flax import nnx
from jax import Array

from strideflax.operators.base import Downsample
from strideflax.operators.blur import BlurPool
from strideflax.operators.geometry import Stage
from strideflax.operators.pool import AvgPool
from strideflax.operators.strided import StridedConv


class ConvBlur(Downsample):
    """A dense convolution (3 x 3 by default), ReLU, then `BlurPool` of 3 taps: the antialiased strided convolution.

    ``y = blur(relu(conv(x)))[::s]``, at s^2 times the strided convolution's cost, with a low-pass right before the
    subsampling. ``window`` is the convolution's, as for every operator that convolves, since the model hands it the
    kernel size; ``taps`` is the filter's length (in a model, to ablate it, take ``blur_pool`` placed "after", which
    is the same chain with the block's BatchNorm in front of the ReLU). A 1 x 1 window is the projection of a
    shortcut: linear and, as it commutes with the filter, after it, ``y = conv1x1(blur(x)[::s])``.

    Phase: the filter's, 0 for an odd length, for both forms. Border: the convolution's and the filter's are the same
    rule; zeros darken the rim. Source: Zhang 2019 (arXiv:1904.11486).
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
        taps: int = 3,
        rngs: nnx.Rngs,
    ):
        super().__init__(in_features, out_features, stride=stride, window=window, padding=padding)
        self.projects = max(self.window) == 1
        self.conv = StridedConv(in_features, out_features, stride=1, window=self.window, padding=padding, rngs=rngs)
        blurred = self.in_features if self.projects else self.out_features
        self.blur = BlurPool(blurred, stride=self.stride, window=taps, padding=padding)

    def at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, height, width, in_features]`` to ``[..., out_features]``."""
        if self.projects:
            return self.conv(self.blur.at_stride(x, stride))
        return self.blur.at_stride(nnx.relu(self.conv(x)), stride)

    def stages(self, size: Sequence[int]) -> tuple[Stage, ...]:
        """Return the convolution's step at stride 1 and the filter's, in the order in which they are done."""
        return _in_order(size, (self.blur, self.conv) if self.projects else (self.conv, self.blur))


class ResNetD(Downsample):
    """A strided convolution (3 x 3 by default) whose 1 x 1 form, the projection of a shortcut, averages first.

    A real kernel is `StridedConv`. A 1 x 1 window is ``y = conv1x1(avg_pool(x, s, s))`` in place of the 1 x 1
    convolution at stride s, which looks at one pixel of every s^2; the mean looks at all, for the price of its adds.

    Phase: 0 for the real kernel, the mean's for the projection, half a pixel at stride 2: a residual block of it is
    misaligned by that half pixel. Zero padding is not counted in the mean. Source: He et al. 2019 (arXiv:1812.01187),
    their ResNet-D tweak on ResNet-B's main path.
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
        self.projects = max(self.window) == 1
        self.mean = AvgPool(in_features, stride=self.stride, padding=padding)
        step = 1 if self.projects else self.stride
        self.conv = StridedConv(in_features, out_features, stride=step, window=self.window, padding=padding, rngs=rngs)

    def at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, height, width, in_features]`` to ``[..., out_features]``."""
        if self.projects:
            return self.conv(self.mean.at_stride(x, stride))
        return self.conv.at_stride(x, stride)

    def stages(self, size: Sequence[int]) -> tuple[Stage, ...]:
        """Return the strided convolution's step, or the mean's and the projection's."""
        return _in_order(size, (self.mean, self.conv) if self.projects else (self.conv,))


def _in_order(size: Sequence[int], layers: Sequence[Downsample]) -> tuple[Stage, ...]:
    """Return the steps of ``layers``, each on the map that the one before it leaves."""
    stages: list[Stage] = []
    for layer in layers:
        for stage in layer.stages(size):
            stages.append(stage)
            size = stage.output(size)
    return tuple(stages)
