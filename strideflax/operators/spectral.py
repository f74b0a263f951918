"""Downsampling in the Fourier domain: keep the low frequencies, drop the rest.

Transform, crop and inverse are all linear and act on each axis alone, so together they are one small real matrix per
axis: no complex numbers, no FFT kernels, the same code on every device and its transpose as the gradient.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from strideflax.operators.base import Downsample
from strideflax.operators.geometry import PerAxis, per_axis, spatial_size
from strideflax.operators.receptive_field import WindowPass
from strideflax.window import Window

RAMP = 4.0  # width in frequencies of DiffStride's soft edge, R in Riad et al.


def spectral_pool(x: Array, stride: PerAxis = 2) -> Array:
    """Keep the lowest ``o = ceil(n / stride)`` frequencies of each axis and return to ``o`` pixels.

    With ``X`` the discrete Fourier transform of one axis, ``y[i] = (1 / n) sum_k w_k X[k] exp(2 pi j k i / o)`` over
    ``|k| <= o / 2``; ``w_k = 1``, but 1/2 at the two Nyquist frequencies ``+-o / 2`` of an even ``o``, which fall
    together on the coarse grid: their mean is real, and treats both signs alike. So an image whose frequencies are all
    below ``o / 2`` is sampled exactly at ``i n / o``, and a constant stays that constant.

    Args:
        x: ``[batch, *spatial, channels]``, one to three spatial axes, taken as periodic.
        stride: an int or one per axis.

    Returns:
        ``[batch, *ceil(spatial / stride), channels]``, computed in float32 at least, in the floating-point type
        of ``x``.

    Raises:
        ValueError: a stride or rank that does not fit.
    """
    x = jnp.asarray(x)
    strides = per_axis(stride, len(spatial_size(x)), "stride")
    return _filtered(x, strides, strides, None)


def asap_pool(x: Array, stride: PerAxis = 2) -> Array:
    """Pool as `spectral_pool`, with frequencies weighted by the root of a Hamming window, so that edges ring less.

    Frequency ``k`` of an axis of ``n`` pixels has the weight ``sqrt(0.54 + 0.46 cos(2 pi k / n))``: 1 at 0, so that a constant
    stays that constant, and at stride 2 0.73 at the end of the band. The window is as wide as the whole spectrum.
    Arguments, result and errors as `spectral_pool`; an axis with stride 1 is left alone.
    """
    x = jnp.asarray(x)
    strides = per_axis(stride, len(spatial_size(x)), "stride")
    return _filtered(x, strides, strides, [hamming_root(n) for n in x.shape[1:-1]])


def hamming_root(size: int) -> np.ndarray:
    """Return ASAP's weights of the frequencies ``0 ... size // 2``, see `asap_pool`; float64."""
    return np.sqrt(0.54 + 0.46 * np.cos(2 * np.pi * np.arange(size // 2 + 1) / size))


def diff_stride(x: Array, learned: Array, *, stride: PerAxis = 2, ramp: float = RAMP) -> Array:
    """Pool as `spectral_pool`, with frequencies weighted by a mask whose width a learned stride sets.

    Frequency ``k`` of an axis of ``n`` pixels with learned stride ``S`` has the weight
    ``clip((R + P - |k|) / R, 0, 1)``: the pass band ends at ``P = n / (2 S) - R``, the mask at the Nyquist frequency
    ``n / (2 S)`` of stride ``S``. ``R`` is ``ramp``, or ``n / (2 S)`` where that is less, so that frequency 0 keeps
    weight 1 and a constant stays that constant.

    Args:
        x: ``[batch, *spatial, channels]``, one to three spatial axes, taken as periodic.
        learned: real-valued strides ``[axes]``, used within 1 to ``n``; differentiable.
        stride: sets the output's size, an int or one per axis. An axis with stride 1 is left alone.
        ramp: width of the soft edge in frequencies, above 0.

    Returns:
        ``[batch, *ceil(spatial / stride), channels]``, computed in float32 at least, in the floating-point type
        of ``x``.

    Raises:
        ValueError: strides, a ramp or a rank that do not fit.
    """
    x, learned = jnp.asarray(x), jnp.asarray(learned)
    strides = per_axis(stride, len(spatial_size(x)), "stride")
    if learned.shape != (len(strides),):
        raise ValueError(f"learned must hold one stride for each of {len(strides)} axes, got shape {learned.shape}")
    if not ramp > 0:
        raise ValueError(f"ramp must be a number > 0, got {ramp!r}")
    return _filtered(x, strides, strides, [soft_mask(n, s, ramp) for n, s in zip(x.shape[1:-1], learned, strict=True)])


def soft_mask(size: int, learned: Array, ramp: float = RAMP) -> Array:
    """Return DiffStride's weights of the frequencies ``0 ... size // 2``, see `diff_stride`."""
    edge = size / (2 * jnp.clip(learned, 1, size))
    return jnp.clip((edge - np.arange(size // 2 + 1, dtype=edge.dtype)) / jnp.minimum(ramp, edge), 0, 1)


@partial(jax.jit, static_argnums=(1, 2))
def _filtered(x: Array, stride: tuple[int, ...], step: tuple[int, ...], masks: Sequence[Array] | None) -> Array:
    """Low-pass each axis for ``stride``, weighted by its mask, and read it at every ``step``-th position."""
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    y = x.astype(dtype)
    for axis, (s, t) in enumerate(zip(stride, step, strict=True)):
        if s == 1:
            continue
        n = x.shape[axis + 1]
        matrix = low_pass_matrix(n, s, t, np.ones(n // 2 + 1) if masks is None else masks[axis].astype(dtype))
        y = times_matrix(y, axis, matrix)
    return y.astype(jnp.result_type(x.dtype, float))


def times_matrix(x: Array, axis: int, matrix: np.ndarray | Array) -> Array:
    """Return ``x`` with its spatial ``axis`` multiplied by ``matrix``, ``[outputs, size]``, in the type of ``x``."""
    before, n, after = x.shape[: axis + 1], x.shape[axis + 1], x.shape[axis + 2 :]
    y = x.reshape(math.prod(before), n, math.prod(after))
    y = jnp.einsum("on,lnt->lot", matrix.astype(x.dtype), y, precision=lax.Precision.HIGHEST)
    return y.reshape(*before, len(matrix), *after)


def low_pass_matrix(size: int, stride: int, step: int, mask: np.ndarray | Array) -> np.ndarray | Array:
    """Return ``[ceil(size / step), size]``, row ``r`` the low-passed map's value at ``r step / stride`` output pixels.

    The frequencies kept are those of ``o = ceil(size / stride)`` output pixels: with ``a`` and ``b`` the angles of
    output and input, the entries are ``(1 / n) sum_k w_k mask_k cos(k (a - b))``, split as ``cos cos + sin sin``.
    """
    outputs = -(-size // stride)
    frequencies = np.arange(outputs // 2 + 1)
    weights = np.where((frequencies == 0) | (2 * frequencies == outputs), 1.0, 2.0) / size  # both signs; Nyquist halved
    to = 2 * np.pi * np.outer(np.arange(0, size, step) / (stride * outputs), frequencies)
    come = 2 * np.pi * np.outer(frequencies, np.arange(size)) / size
    cos, sin = np.cos(to) * weights, np.sin(to) * weights
    kept = mask[: len(frequencies)]
    if isinstance(kept, np.ndarray):
        return (cos * kept) @ np.cos(come) + (sin * kept) @ np.sin(come)
    left = jnp.concatenate([kept[None] * cos.astype(kept.dtype), kept[None] * sin.astype(kept.dtype)], 1)
    right = np.concatenate([np.cos(come), np.sin(come)]).astype(kept.dtype)
    return jnp.matmul(left, right, precision=lax.Precision.HIGHEST)


class SpectralPool(Downsample):
    """Keep the lowest ``ceil(n / s)`` frequencies of each axis: the ideal low-pass, then sampling.

    ``y = F_o^-1 crop(F_n x)``, see `spectral_pool` for norm and Nyquist. Nothing aliases, but edges ring. The image
    counts as periodic and no border is padded: the ``padding`` of the model is accepted, all are the same here. Every
    output sees the whole map. Output ``i`` lies at ``i n / o``: phase 0, and ``s`` apart where ``s`` divides ``n``.
    Computed in float32. Multiply-adds: one matrix per axis, ``n`` for each value that it writes. Source: Rippel, Snoek
    and Adams 2015 (arXiv:1506.03767), whose crop treats the one corner frequency (-o/2, -o/2) alone; here each axis is
    treated alike.

    When it helps: to keep the most detail for the size. It rings, and every output sees the whole map.
    """

    default_window = None

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its low frequencies."""
        return _filtered(x, self.stride, stride, None)

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return one pass per axis that shrinks, with a window as large as the map.

        The periodic filter is symmetric: on an even size its two ends, ``n / 2`` to either side, are the same pixel.
        """
        found = []
        for axis, (n, s) in enumerate(zip(map_size, self.stride, strict=True)):
            if s == 1:
                continue
            size, stride, pads = [1] * len(self.stride), [1] * len(self.stride), [(0, 0)] * len(self.stride)
            size[axis], stride[axis], pads[axis] = 2 * (n // 2) + 1, s, (n // 2, n // 2)
            whole = replace(Window.dense(size, pads=tuple(pads)), stride=tuple(stride), border="wrap")
            found.append(WindowPass(window=whole, features=self.in_features, taps=n))
        return tuple(found)


class ASAP(SpectralPool):
    """Spectral pooling with a Hamming window over the spectrum (ASAP): edges ring less, and a little detail goes.

    ``y = F_o^-1 crop(w F_n x)``, ``w(k) = sqrt(0.54 + 0.46 cos(2 pi k / n))`` along each axis. Nothing aliases. Border,
    phase and cost as `SpectralPool` (the weights are part of its matrices). The released code lays the window over the
    shifted spectrum half a frequency beside its middle, so that a constant shrinks, and by default exchanges height and
    width; here neither. Source: Grabinski, Keuper and Keuper 2023 (arXiv:2307.09804), after their FLC pooling, which is
    `SpectralPool`.

    When it helps: as `spectral_pool`, with less ringing.
    """

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its weighted low frequencies."""
        return _filtered(x, self.stride, stride, [hamming_root(n) for n in x.shape[1:-1]])


class DiffStride(SpectralPool):
    """Spectral pooling whose cut-off is learned: a real-valued stride ``S`` per axis sets the width of a soft mask.

    ``mask(k) = clip((R + P - |k|) / R, 0, 1)``, ``P = n / (2 S) - R``, ``R = 4`` frequencies; ``S`` starts as the given
    stride and is the parameter ``learned_stride``. **The output's shape does not follow S**: it stays ``ceil(n / s)``,
    so that the layer runs under ``jit``; what is learned is how much of that band to pass. Riad et al. crop to the mask
    instead, and their ramp begins where ours ends, at ``n / (2 S)``: beyond a fixed crop no gradient would reach ``S``.
    Once S is so small that the mask is 1 on the whole band the layer is `SpectralPool`, and S rests. Main path and
    shortcut learn their own. Border, phase and cost as `SpectralPool` (building the matrices costs nothing per image).
    Source: Riad, Teboul, Grangier and Zeghidour 2022 (arXiv:2202.01653).

    When it helps: to learn how much of the spectrum to keep.
    """

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create the learned strides, one per axis."""
        self.learned_stride = nnx.Param(jnp.asarray(self.stride, jnp.float32))

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its masked low frequencies."""
        masks = [soft_mask(n, s) for n, s in zip(x.shape[1:-1], self.learned_stride[...], strict=True)]
        return _filtered(x, self.stride, stride, masks)
