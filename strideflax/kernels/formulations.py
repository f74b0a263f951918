"""The strided convolution in XLA, written in ways that are equal in value and differ in speed, above all of their gradients.

XLA's own input gradient of a strided convolution is a convolution over a zero-spaced gradient. On a CPU that is slow, and
for some small shapes its compilation aborts the process. Written by taps or by phases it is a sum of matrix products or of
dense stride-1 convolutions, on every platform.
"""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from strideflax.kernels.padding import pad_border, take_every
from strideflax.window import Window

VECTOR = 16  # float32 numbers in the widest vector of a CPU; an input with fewer channels is thin

Formulation = Callable[[Array, Array, Window, int], Array]

_LAYOUTS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}


def formulation(kernel: Any, window: Window, groups: int, implementation: str) -> Formulation:
    """Return the formulation of that name, or the one whose gradients are the fastest.

    Its transpose turns a product per tap into one matrix product per tap, the fastest gradient where the channels fill a
    vector unit; the phases' convolutions win for grouped inputs and for the kernel of a thin one, whose own gradient has its
    phases stacked (below). At stride 1 XLA's own are sound and fast.
    """
    if implementation == "taps" and groups > 1:  # one group, mapped over a batch of kernels
        implementation = "phases"
    if implementation in _FORMULATIONS:
        return _FORMULATIONS[implementation]
    if is_pointwise(window, groups):
        return by_tap  # a matrix product over every s-th pixel
    if max(window.stride) == 1:
        return by_xla
    return by_tap if groups == 1 and kernel.shape[-2] >= VECTOR else by_phase


def is_pointwise(window: Window, groups: int) -> bool:
    """Whether every output sees one pixel, so that the convolution is a matrix product."""
    return max(window.size) == 1 and groups == 1


def by_xla(x: Array, kernel: Array, window: Window, groups: int) -> Array:
    """The one call to XLA's convolution."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=window.stride,
        padding=window.pads,
        rhs_dilation=window.dilation,
        dimension_numbers=_LAYOUTS[window.axes],
        feature_group_count=groups,
    )


def by_tap(x: Array, kernel: Array, window: Window, groups: int) -> Array:
    """The strided convolution as one matrix product per tap (one group)."""
    outputs = window.output_size(x.shape[1:-1])
    x = pad_border(x, window.pads)
    total = None
    for tap in np.ndindex(*window.size):
        first = [t * d for t, d in zip(tap, window.dilation, strict=True)]
        pixels = take_every(x, first, outputs, window.stride)
        product = lax.dot_general(pixels, kernel[tap], (((x.ndim - 1,), (0,)), ((), ())))
        total = product if total is None else total + product
    assert total is not None  # a kernel has at least one tap
    return total


def by_phase(x: Array, kernel: Array, window: Window, groups: int) -> Array:
    """The strided convolution as a sum of stride-1 convolutions, one for each phase of the input that the kernel touches.

    Along one axis tap ``t`` reads ``x[s i + d t]``. Taps that differ by ``q = s / gcd(s, d)`` read the same phase of the
    input (its every s-th pixel), ``d q / s`` pixels of that phase apart. So at stride 2 a kernel of 3 taps is a convolution
    of 2 taps over the even pixels plus one of 1 tap over the odd ones. The multiply-adds are those of the direct form.
    """
    outputs = window.output_size(x.shape[1:-1])
    x = pad_border(x, window.pads)
    apart, spread = [], []
    for s, d in zip(window.stride, window.dilation, strict=True):
        common = math.gcd(s, d)
        apart.append(s // common)
        spread.append(d // common)
    total = None
    for first in np.ndindex(*map(min, apart, window.size)):
        taps = kernel[tuple(slice(t, None, q) for t, q in zip(first, apart, strict=True))]
        dense = Window.dense(taps.shape[:-2], dilation=spread)
        reach = [o + k_e - 1 for o, k_e in zip(outputs, dense.extent, strict=True)]
        start = [t * d for t, d in zip(first, window.dilation, strict=True)]
        part = by_xla(take_every(x, start, reach, window.stride), taps, dense, groups)
        total = part if total is None else total + part
    assert total is not None
    return total


_FORMULATIONS: dict[str, Formulation] = {"lax": by_xla, "taps": by_tap, "phases": by_phase}


def stacks_phases(kernel: Any, window: Window, groups: int, implementation: str) -> bool:
    """Whether `by_stacked_phases` is the input's gradient: of a strided convolution of a thin input, as of an image."""
    thin = kernel.shape[-2] < VECTOR and groups == 1
    strided = max(window.stride) > 1 and max(window.dilation) == 1
    return implementation == "auto" and thin and strided and not is_pointwise(window, groups)


def by_stacked_phases(
    g: Array,
    kernel: Array,
    map_size: tuple[int, ...],
    window: Window,
    convolve: Callable[[Array, Array, Window], Array],
) -> Array:
    """The input's gradient as one dense convolution, from whose channels the phases of the input are taken apart.

    Per axis the padded input's pixel ``s q + p`` gets ``sum_u kernel[s u + p] g[q - u]``: for all ``p`` together that is a
    stride-1 convolution of ``g`` with s times the channels. For the stem of 3 channels at stride 2 it fills a vector with 12
    of them where the direct form fills 3.
    """
    axes, stride = window.axes, window.stride
    inputs, outputs = kernel.shape[-2:]
    reach = [-(-k // s) for k, s in zip(window.size, stride, strict=True)]  # of the window in blocks of s pixels
    blocks = []
    for n, s, (low, _) in zip(map_size, stride, window.pads, strict=True):
        blocks.append(-(-(low + n) // s))

    # [*window, inputs, outputs] -> [u1, s1, u2, s2, ..., inputs, outputs] -> [u1, u2, ..., outputs, s1 s2 ... inputs], u turned
    missing = [(0, u * s - k) for u, s, k in zip(reach, stride, window.size, strict=True)]
    taps = jnp.pad(kernel, [*missing, (0, 0), (0, 0)])
    taps = taps.reshape(*_alternated(reach, stride), inputs, outputs)
    steps, phases = range(0, 2 * axes, 2), range(1, 2 * axes, 2)
    taps = jnp.flip(taps, steps).transpose(*steps, 2 * axes + 1, *phases, 2 * axes)
    taps = taps.reshape(*reach, outputs, -1)

    g = g[:, *(slice(q) for q in blocks)]
    around = tuple((u - 1, q - m) for u, q, m in zip(reach, blocks, g.shape[1:-1], strict=True))
    stacked = convolve(g, taps, Window.dense(reach, pads=around))

    # [batch, q1, q2, ..., s1 s2 ... inputs] -> [batch, q1 s1, q2 s2, ..., inputs]
    stacked = stacked.reshape(-1, *blocks, *stride, inputs)
    order = _alternated(range(1, axes + 1), range(axes + 1, 2 * axes + 1))
    whole = stacked.transpose(0, *order, 2 * axes + 1)
    whole = whole.reshape(-1, *(q * s for q, s in zip(blocks, stride, strict=True)), inputs)
    inside = [slice(low, low + n) for n, (low, _) in zip(map_size, window.pads, strict=True)]
    return whole[:, *inside]


def _alternated(first: Any, second: Any) -> list[int]:
    """Return ``[first[0], second[0], first[1], second[1], ...]``."""
    return [entry for pair in zip(first, second, strict=True) for entry in pair]
