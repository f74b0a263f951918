"""The convolution every other part stands on: `lax.conv_general_dilated`, channels last, with its derivative spelt out.

Why the derivative is ours: XLA's input gradient of a strided convolution is a convolution over a zero-spaced gradient. On
CPU that is slow, and for some small shapes its compilation aborts the process. Written by taps or by phases (below) it is
a sum of matrix products or of dense stride-1 convolutions, on every platform.
"""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero

from strideflax.operators.geometry import (
    BORDERS,
    Padding,
    Pads,
    explicit_pads,
    extent,
    is_int,
    padded_output_size,
    per_axis,
)

_LAYOUTS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}


def conv(
    x: Array,
    kernel: Array,
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    flip_kernel: bool = False,
) -> Array:
    """Convolve ``x`` with ``kernel``: ``y[i] = sum_t kernel[t] * x[s i + d t - pad_low]``, per axis, over input channels.

    Like every deep-learning library this is cross-correlation; ``flip_kernel=True`` gives true convolution. Differentiable
    in both arguments, in forward and reverse mode and to any order.

    Args:
        x: ``[batch, *spatial, in_channels]`` with one, two or three spatial axes.
        kernel: ``[*window, in_channels / groups, out_channels]``.
        stride: step between outputs, an int or one per axis, e.g. ``(2, 1)``.
        padding: ``"VALID"``, ``"SAME"``, ``"SAME_LOWER"``, ``"SYMMETRIC"`` (k // 2 on both sides, PyTorch's convention),
            ``"CIRCULAR"``, ``"REFLECT"``, an int, or an int or ``(low, high)`` pair per axis.
        dilation: distance between the kernel's taps, an int or one per axis.
        groups: number of channel groups; each output channel sees ``in_channels / groups`` inputs.
        flip_kernel: reverse the kernel along every spatial axis first.

    Returns:
        ``[batch, *output_size, out_channels]`` in the promoted type of the arguments.

    Raises:
        ValueError: ranks, channels, groups, stride, padding or dilation that do not fit, or an empty output.
    """
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    axes = spatial_axes(x)
    if kernel.ndim != axes + 2 or 0 in kernel.shape:
        raise ValueError(
            f"kernel must be [*window, in_channels / groups, out_channels] with {axes + 2} axes, none empty, for an input of "
            f"shape {x.shape}, got shape {kernel.shape}"
        )
    if not is_int(groups) or groups < 1:
        raise ValueError(f"groups must be an int >= 1, got {groups!r}")
    inputs, (group_inputs, outputs) = x.shape[-1], kernel.shape[-2:]
    if group_inputs * groups != inputs or outputs % groups:
        raise ValueError(
            f"kernel {kernel.shape} with groups={groups} expects {group_inputs * groups} input channels and output channels "
            f"divisible by {groups}, got {inputs} input and {outputs} output channels"
        )
    window = kernel.shape[:-2]
    strides, dilations = per_axis(stride, axes, "stride"), per_axis(dilation, axes, "dilation")
    pads = explicit_pads(padding, x.shape[1:-1], window, strides, dilations)
    padded_output_size(x.shape[1:-1], window, strides, pads, dilations)
    border = BORDERS.get(padding, "zeros") if isinstance(padding, str) else "zeros"
    return _conv(x, kernel, strides, pads, border, dilations, groups, bool(flip_kernel))


def spatial_axes(x: Array) -> int:
    """Return the number of axes between batch and channels; 1, 2 and 3 are allowed, and no axis may be empty."""
    if x.ndim not in (3, 4, 5):
        raise ValueError(f"x must be [batch, *spatial, channels] with 1, 2 or 3 spatial axes, got shape {x.shape}")
    if 0 in x.shape[1:]:
        raise ValueError(f"x must have no empty spatial or channel axis, got shape {x.shape}")
    return x.ndim - 2


def pad_border(x: Array, pads: Pads, border: str, fill: float = 0.0) -> Array:
    """Pad the spatial axes of ``x`` with ``fill`` (border "zeros"), by wrapping ("wrap") or by mirroring ("reflect")."""
    if not any(map(any, pads)):
        return x
    widths = ((0, 0), *pads, (0, 0))
    if border == "zeros":
        return jnp.pad(x, widths, constant_values=np.asarray(fill, x.dtype))
    return jnp.pad(x, widths, mode=border)


@partial(jax.jit, static_argnums=range(2, 8))
def _conv(
    x: Array,
    kernel: Array,
    stride: tuple[int, ...],
    pads: Pads,
    border: str,
    dilation: tuple[int, ...],
    groups: int,
    flip_kernel: bool,
) -> Array:
    dtype = jnp.promote_types(x.dtype, kernel.dtype)
    x, kernel = x.astype(dtype), kernel.astype(dtype)
    if flip_kernel:
        kernel = jnp.flip(kernel, range(kernel.ndim - 2))
    if border != "zeros":
        x, pads = pad_border(x, pads, border), ((0, 0),) * len(pads)
    if set(kernel.shape[:-2]) == {1} and groups == 1:  # a matrix product over every s-th pixel
        return _by_tap(x, kernel, stride, pads, dilation, groups)
    if set(stride) == {1}:  # XLA's own derivatives are sound here
        return _lax_conv(x, kernel, stride, pads, dilation, groups)
    return _strided(x, kernel, stride, pads, dilation, groups)


def _lax_conv(
    x: Array, kernel: Array, stride: tuple[int, ...], pads: Pads, dilation: tuple[int, ...], groups: int
) -> Array:
    """The one call to XLA's convolution."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=stride,
        padding=pads,
        rhs_dilation=dilation,
        dimension_numbers=_LAYOUTS[len(stride)],
        feature_group_count=groups,
    )


@partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4, 5))
def _strided(
    x: Array, kernel: Array, stride: tuple[int, ...], pads: Pads, dilation: tuple[int, ...], groups: int
) -> Array:
    """Convolve with one call; differentiate as `_by_tap` or `_by_phase`, to which it is equal."""
    return _lax_conv(x, kernel, stride, pads, dilation, groups)


def _strided_jvp(
    stride: tuple[int, ...],
    pads: Pads,
    dilation: tuple[int, ...],
    groups: int,
    primals: tuple[Array, Array],
    tangents: tuple[Array | SymbolicZero, Array | SymbolicZero],
) -> tuple[Array, Array]:
    (x, kernel), (dx, dkernel) = primals, tangents
    out = _strided(x, kernel, stride, pads, dilation, groups)
    # Each product is linear in the tangent; JAX transposes it into the gradient. A product per tap becomes one matrix product
    # per tap, the fastest gradient where the channels fill a vector unit; the others win for thin or grouped inputs.
    dense = groups == 1 and kernel.shape[-2] >= 16
    tangent = jnp.zeros_like(out)
    if not isinstance(dx, SymbolicZero):
        tangent += (_by_tap if dense else _by_phase)(dx, kernel, stride, pads, dilation, groups)
    if not isinstance(dkernel, SymbolicZero):
        tangent += (_by_tap if dense else _by_phase)(x, dkernel, stride, pads, dilation, groups)
    return out, tangent


_strided.defjvp(_strided_jvp, symbolic_zeros=True)


def _by_phase(
    x: Array, kernel: Array, stride: tuple[int, ...], pads: Pads, dilation: tuple[int, ...], groups: int
) -> Array:
    """The strided convolution as a sum of stride-1 convolutions, one for each phase of the input that the kernel touches.

    Along one axis tap ``t`` reads ``x[s i + d t]``. Taps that differ by ``q = s / gcd(s, d)`` read the same phase of the
    input (its every s-th pixel), ``d q / s`` pixels of that phase apart. The multiply-adds are those of the direct form.
    """
    x, outputs = _padded(x, kernel, stride, pads, dilation)
    total = None
    apart = tuple(s // math.gcd(s, d) for s, d in zip(stride, dilation, strict=True))
    spread = tuple(d // math.gcd(s, d) for s, d in zip(stride, dilation, strict=True))
    window = kernel.shape[:-2]
    for first in np.ndindex(*map(min, apart, window)):
        taps = kernel[tuple(slice(t, None, q) for t, q in zip(first, apart, strict=True))]
        reach = [o + k_e - 1 for o, k_e in zip(outputs, extent(taps.shape[:-2], spread), strict=True)]
        component = _every(x, [t * d for t, d in zip(first, dilation, strict=True)], reach, stride)
        part = _lax_conv(component, taps, (1,) * len(stride), ((0, 0),) * len(stride), spread, groups)
        total = part if total is None else total + part
    assert total is not None  # a kernel has at least one tap
    return total


def _by_tap(
    x: Array, kernel: Array, stride: tuple[int, ...], pads: Pads, dilation: tuple[int, ...], groups: int
) -> Array:
    """The strided convolution as one matrix product per tap (one group)."""
    x, outputs = _padded(x, kernel, stride, pads, dilation)
    total = None
    for tap in np.ndindex(*kernel.shape[:-2]):
        component = _every(x, [t * d for t, d in zip(tap, dilation, strict=True)], outputs, stride)
        part = lax.dot_general(component, kernel[tap], (((x.ndim - 1,), (0,)), ((), ())))
        total = part if total is None else total + part
    assert total is not None
    return total


def _padded(
    x: Array, kernel: Array, stride: tuple[int, ...], pads: Pads, dilation: tuple[int, ...]
) -> tuple[Array, tuple[int, ...]]:
    outputs = padded_output_size(x.shape[1:-1], kernel.shape[:-2], stride, pads, dilation)
    return pad_border(x, pads, "zeros"), outputs


def _every(x: Array, first: Sequence[int], count: Sequence[int], stride: Sequence[int]) -> Array:
    """Take ``count`` pixels from ``first`` on, ``stride`` apart, along each spatial axis."""
    stop = [f + (c - 1) * s + 1 for f, c, s in zip(first, count, stride, strict=True)]
    return lax.slice(x, (0, *first, 0), (x.shape[0], *stop, x.shape[-1]), (1, *stride, 1))
