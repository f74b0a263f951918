"""A convolution and a blur as one convolution: the same linear map, with the blur folded into the kernel."""

import math
from collections.abc import Sequence
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jax import Array

from strideflax.operators.blur import binomial_filter
from strideflax.operators.conv import conv_window
from strideflax.operators.geometry import PerAxis, border_of, per_axis, spatial_size
from strideflax.window import Window


def fold_blur(kernel: Array, taps: PerAxis = 3) -> Array:
    """Return the kernel of the one convolution that does what a convolution with ``kernel`` and a binomial blur do together.

    ``folded[u] = sum_t b[t] kernel[u - t]``: which of the two comes first makes no difference. With it, `blurred_conv` at a
    stride is a blurred strided convolution.

    Args:
        kernel: ``[*window, in_channels, out_channels]``.
        taps: length of the blur's filter, an int or one per axis.

    Returns:
        ``[*(window + taps - 1), in_channels, out_channels]`` in the type of ``kernel``.

    Raises:
        ValueError: a kernel or taps that do not fit.
    """
    kernel = jnp.asarray(kernel)
    axes = kernel.ndim - 2
    if axes not in (1, 2, 3):
        raise ValueError(
            f"kernel must be [*window, in_channels, out_channels] with 1 to 3 axes, got shape {kernel.shape}"
        )
    wide = kernel.astype(jnp.promote_types(kernel.dtype, jnp.float32))
    for axis, k in enumerate(per_axis(taps, axes, "taps")):
        total = jnp.zeros((), wide.dtype)
        for first, factor in enumerate(binomial_filter(k)):
            edges = [(0, 0)] * wide.ndim
            edges[axis] = (first, k - 1 - first)
            total = total + np.asarray(factor, wide.dtype) * jnp.pad(wide, edges)
        wide = total
    return wide.astype(kernel.dtype)


def blurred_conv(
    x: Array, kernel: Array, *, taps: PerAxis = 3, stride: PerAxis = 2, padding: str = "CIRCULAR"
) -> Array:
    """Convolve at every position, blur and keep every ``stride``-th pixel, by one strided convolution with a folded kernel.

    Nothing may stand between the two, no ReLU either. Equal to `strideflax.conv` and `strideflax.blur_pool` one after the
    other but for rounding, where the border is exact: ``"CIRCULAR"``, and ``"VALID"``, without a border. With zeros or a
    mirror the blur would see a border of the convolution's output, which one kernel can't know. Whether it is cheaper,
    `folded_macs_ratio` says.

    Args:
        x: ``[batch, *spatial, in_channels]``, one to three spatial axes.
        kernel: ``[*window, in_channels, out_channels]``.
        taps: length of the blur's filter, an int or one per axis.
        stride: an int or one per axis.
        padding: ``"CIRCULAR"`` or ``"VALID"``.

    Returns:
        ``[batch, *output_size, out_channels]``.

    Raises:
        ValueError: another padding, or as `strideflax.conv`.
    """
    if padding not in ("CIRCULAR", "VALID"):
        raise ValueError(
            f"padding must be CIRCULAR or VALID, got {padding!r}: with any other border the folded kernel is not exact; use "
            "conv and blur_pool"
        )
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    axes = len(spatial_size(x))
    if kernel.ndim != axes + 2 or kernel.shape[-2] != x.shape[-1]:
        raise ValueError(
            f"kernel must be [*window, in_channels, out_channels] with {axes + 2} axes and {x.shape[-1]} input channels for an "
            f"input of shape {x.shape}, got shape {kernel.shape}"
        )
    lengths, strides = per_axis(taps, axes, "taps"), per_axis(stride, axes, "stride")
    pads = []
    for k, t in zip(kernel.shape[:-2], lengths, strict=True):
        wraps = padding == "CIRCULAR"
        pads.append(((k - 1) // 2 + (t - 1) // 2, k // 2 + t // 2) if wraps else (0, 0))
    folded = fold_blur(kernel, lengths)
    window = replace(Window.dense(folded.shape[:-2], pads=tuple(pads)), stride=strides, border=border_of(padding))
    window.output_size(x.shape[1:-1])
    return conv_window(x, folded, window)


def folded_macs_ratio(window: Sequence[int], taps: PerAxis = 3, *, stride: PerAxis = 2, in_channels: int) -> float:
    """Return the multiply-adds of `blurred_conv` over those of the convolution at every position and the separable blur.

    Below 1 it is cheaper: ``prod(k + t - 1) c`` against ``prod(s k) c + sum(t)``, with ``c`` the input channels. So at
    stride 2 a 3 x 3 kernel gains with 2 and 3 taps (0.69 with 3), breaks even with 4 and loses beyond; a 1 x 1 kernel,
    which had better follow the blur on the small map, loses.

    Args:
        window: the kernel's size, one per axis.
        taps: length of the blur's filter, an int or one per axis.
        stride: an int or one per axis.
        in_channels: of the convolution. The output channels cancel.

    Raises:
        ValueError: arguments that do not fit.
    """
    axes = len(window)
    sizes, lengths, strides = (
        per_axis(window, axes, "window"),
        per_axis(taps, axes, "taps"),
        per_axis(stride, axes, "stride"),
    )
    folded = math.prod(k + t - 1 for k, t in zip(sizes, lengths, strict=True)) * in_channels
    dense = math.prod(k * s for k, s in zip(sizes, strides, strict=True)) * in_channels
    return folded / (dense + sum(lengths))
