"""The transposed convolution: what a strided convolution's gradient does to a map, with a kernel of its own."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from strideflax.operators.base import streams
from strideflax.operators.conv import conv_window
from strideflax.operators.geometry import (
    MODULE_PADDINGS,
    Padding,
    PerAxis,
    centred,
    explicit_pads,
    make_window,
    per_axis,
    spatial_size,
)
from strideflax.operators.strided import he_normal
from strideflax.operators.upsample import Upsample
from strideflax.window import extent


def conv_transpose(
    x: Array,
    kernel: Array,
    *,
    stride: PerAxis = 2,
    padding: Padding = "SYMMETRIC",
    dilation: PerAxis = 1,
    size: Sequence[int] | None = None,
) -> Array:
    """Spread every pixel over a window: ``y[s i + d t - pad_low] += kernel[t]^T x[i]``, the transpose of `strideflax.conv`.

    A window that the stride does not divide reaches some pixels more often than others, which shows as a checkerboard. In
    PyTorch's layout the kernel is ``weight.permute(2, 3, 0, 1)``.

    Args:
        x: ``[batch, *spatial, in_channels]``, one to three spatial axes.
        kernel: ``[*window, in_channels, out_channels]``.
        stride: an int or one per axis.
        padding: of the convolution that this one is the transpose of, as in `strideflax.conv`: what it adds to a map is cut
            off here, and ``"CIRCULAR"`` wraps it around. ``"SYMMETRIC"`` is ``((k - 1) // 2, k // 2)``.
        dilation: distance between taps.
        size: of the map that comes out, one that the convolution takes to ``spatial``. None is ``spatial * stride``, and with
            ``"VALID"``, an int or pairs the smallest one, ``(spatial - 1) * stride + k_e - low - high``.

    Returns:
        ``[batch, *size, out_channels]`` in the promoted type of the arguments.

    Raises:
        ValueError: ranks, channels, a stride, padding, dilation or size that do not fit.
    """
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    map_size = spatial_size(x)
    axes = len(map_size)
    if kernel.ndim != axes + 2 or 0 in kernel.shape or kernel.shape[-2] != x.shape[-1]:
        raise ValueError(
            f"kernel must be [*window, in_channels, out_channels] with {axes + 2} axes, none empty, and {x.shape[-1]} input "
            f"channels for an input of shape {x.shape}, got shape {kernel.shape}"
        )
    taps, strides = kernel.shape[:-2], per_axis(stride, axes, "stride")
    dilations = per_axis(dilation, axes, "dilation")
    sizes = _fine_size(map_size, taps, strides, padding, dilations) if size is None else per_axis(size, axes, "size")
    pads = centred(padding, extent(taps, dilations))
    window = make_window(sizes, taps, stride=strides, padding=pads, dilation=dilations)
    if window.output_size(sizes) != map_size:
        raise ValueError(
            f"size must be one that the convolution takes to {map_size}; it takes {sizes} to {window.output_size(sizes)}"
        )
    dtype = jnp.promote_types(x.dtype, kernel.dtype)
    reverse = jnp.swapaxes(kernel.astype(dtype), -1, -2)
    fine = jax.ShapeDtypeStruct((x.shape[0], *sizes, kernel.shape[-1]), dtype)
    (y,) = jax.linear_transpose(lambda fine: conv_window(fine, reverse, window), fine)(x.astype(dtype))
    return y


def _fine_size(
    map_size: Sequence[int],
    taps: Sequence[int],
    stride: tuple[int, ...],
    padding: Padding,
    dilation: tuple[int, ...],
) -> tuple[int, ...]:
    if padding in MODULE_PADDINGS:
        return tuple(n * s for n, s in zip(map_size, stride, strict=True))
    sizes = []
    pads = explicit_pads(padding, map_size, taps, stride, dilation)
    for n, s, k_e, (low, high) in zip(map_size, stride, extent(taps, dilation), pads, strict=True):
        sizes.append((n - 1) * s + k_e - low - high)
    return tuple(sizes)


class TransposedConv(Upsample):
    """The transpose of `StridedConv` with a kernel of its own, by default of twice the stride, without bias.

    ``y[s i + t - pad_low] += w[t]^T x[i]``. With a window that the stride divides every pixel is reached equally often; any
    other leaves a checkerboard (Odena, Dumoulin and Olah 2016). ``"CIRCULAR"`` wraps around, ``"REFLECT"`` folds back, and
    zeros are cut off. Phase: that of the strided convolution, half a pixel for 4 x 4 at stride 2. He initialisation, normal
    with variance 2 / (in_features * taps that reach a pixel). Sources: Zeiler et al. 2010; Dumoulin and Visin 2016
    (arXiv:1603.07285).

    When it helps: where the way up should be learned, at the strided convolution's cost.
    """

    convolves = True
    default_window = "2 * stride"

    def _usual_window(self) -> tuple[int, ...]:
        """Return twice the stride where the map grows, 1 elsewhere."""
        return tuple(2 * s if s > 1 else 1 for s in self.stride)

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create the kernel, ``[*window, in_features, out_features]``."""
        shape = (*self.window, self.in_features, self.out_features)
        reached = math.sqrt(math.prod(self.stride))  # each pixel by one in prod(stride) of the taps
        self.kernel = nnx.Param(reached * he_normal(streams(self, rngs).params(), shape))

    def _to_size(self, x: Array, size: tuple[int, ...], index: Array | None) -> Array:
        """Map ``[batch, *spatial, in_features]`` to ``[batch, *size, out_features]``, computing in the type of ``x``."""
        kernel = self.kernel[...].astype(x.dtype)
        return conv_transpose(x, kernel, stride=self.stride, padding=self.padding, size=size)

    def macs(self, map_size: Sequence[int]) -> int:
        """Return a kernel's multiply-adds for every coarse pixel, those that are cut off included."""
        return super().macs(map_size) * self.out_features

    def phase(self) -> tuple[float, ...]:
        """Return the kernel's centre under centred padding; ``SAME`` and ``SAME_LOWER`` may move it on sizes of their own."""
        return tuple((k - 1) / 2 - (k - 1) // 2 for k in self.window)
