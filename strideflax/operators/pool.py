"""Pools over sliding windows, channels last, as elementwise operations on slices of the input (see `windows`)."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from strideflax.kernels.implementation import resolve_implementation
from strideflax.kernels.windows import Windows, fold, largest, pick, pixels, weighted_sum
from strideflax.operators.base import Downsample
from strideflax.operators.border import frame, pad_border, spatial_axes
from strideflax.operators.geometry import BORDERS, Padding, Pads, explicit_pads, padded_output_size, per_axis, real_taps

IMPLEMENTATIONS = ("auto", "slices", "lax")
MANY_CHANNELS = (
    64  # from which XLA's own maximum of bfloat16 is faster where no window shares a pixel and no gradient is taken
)


def max_pool(
    x: Array,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
    dilation: int | Sequence[int] = 1,
    implementation: str | None = None,
) -> Array:
    """Take the maximum over each window; zero-padding rules pad with minus infinity.

    Where values tie, the first in row-major order gets the gradient, as in PyTorch. NaN counts as the largest.

    Args:
        x: ``[batch, *spatial, channels]``, one to three spatial axes.
        window: size of the window, an int or one per axis.
        stride: step between windows; the window's size if None.
        padding: as in `strideflax.conv`.
        dilation: distance between taps.
        implementation: ``"slices"`` (``"auto"``) or ``"lax"``, XLA's own, slow on CPUs; the values are the same.

    Returns:
        ``[batch, *output_size, channels]``.

    Raises:
        ValueError: a window, stride, padding or dilation that does not fit, an empty output, or padding so wide that a
            window would hold nothing but padding.
    """
    x, *geometry = resolve_window(x, window, stride, padding, dilation)
    return _max_pool(x, *geometry, resolve_implementation(implementation, IMPLEMENTATIONS, x))


def avg_pool(
    x: Array,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
    dilation: int | Sequence[int] = 1,
    count_include_pad: bool = False,
    implementation: str | None = None,
) -> Array:
    """Take the mean over each window, of the real pixels alone unless ``count_include_pad``.

    Args:
        x: ``[batch, *spatial, channels]``, floating point, one to three spatial axes.
        window: size of the window, an int or one per axis.
        stride: step between windows; the window's size if None.
        padding: as in `strideflax.conv`; mirrored and wrapped pixels count as real ones.
        dilation: distance between taps.
        count_include_pad: divide by the window's size even where it covers zero padding (Flax's and PyTorch's default).
        implementation: as in `max_pool`.

    Returns:
        ``[batch, *output_size, channels]``.

    Raises:
        ValueError: as `max_pool`.
    """
    x, *geometry = resolve_window(x, window, stride, padding, dilation)
    how = resolve_implementation(implementation, IMPLEMENTATIONS, x)
    return _avg_pool(x, *geometry, bool(count_include_pad), how)


def resolve_window(
    x: Array,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: Padding,
    dilation: int | Sequence[int],
) -> tuple[Array, tuple[int, ...], tuple[int, ...], Pads, str, tuple[int, ...]]:
    """Check a pool's arguments; return ``(x, window, stride, pads, border, dilation)``, explicit per axis and hashable."""
    x = jnp.asarray(x)
    axes = spatial_axes(x)
    windows = per_axis(window, axes, "window")
    strides = windows if stride is None else per_axis(stride, axes, "stride")
    dilations = per_axis(dilation, axes, "dilation")
    pads = explicit_pads(padding, x.shape[1:-1], windows, strides, dilations)
    padded_output_size(x.shape[1:-1], windows, strides, pads, dilations)
    border = BORDERS.get(padding, "zeros") if isinstance(padding, str) else "zeros"
    if border == "zeros" and (counts := real_taps(x.shape[1:-1], windows, strides, pads, dilations)).min() == 0:
        raise ValueError(
            f"padding {padding!r} leaves {int((counts == 0).sum())} windows of size {windows} without a single pixel of the "
            f"input {x.shape[1:-1]}; use less padding"
        )
    return x, windows, strides, pads, border, dilations


def taps(
    x: Array,
    window: tuple[int, ...],
    stride: tuple[int, ...],
    pads: Pads,
    border: str,
    dilation: tuple[int, ...],
) -> tuple[Array, np.ndarray]:
    """Return the pixels of every window, and which of them are real.

    For operators that weigh a window's pixels against each other; sums and maxima are cheaper by `windows.fold`. The pixels
    are at least float32, so that sums, powers and exponentials over them are safe for bfloat16 input.

    Args:
        x: ``[batch, *spatial, channels]``; the other arguments as `resolve_window` returns them.

    Returns:
        The pixels ``[batch, *output_size, taps, channels]``, taps in row-major order, 0 on zero padding; and a constant
        bool ``[1, *output_size, taps, 1]``, False on zero padding alone (mirrored and wrapped pixels are real).
    """
    size, real = x.shape[1:-1], np.ones((1, 1), bool)
    padded = pad_border(x.astype(jnp.promote_types(x.dtype, jnp.float32)), pads, border)
    windows = Windows(padded.shape[1:-1], window, stride, dilation)
    for n, k, s, (low, _), d, o in zip(size, window, stride, pads, dilation, windows.outputs, strict=True):
        position = np.arange(o)[:, None] * s + np.arange(k) * d - low
        inside = (position >= 0) & (position < n) | (border != "zeros")
        real = (real[..., None, :, None] & inside[:, None, :]).reshape(*real.shape[:-1], o, -1)
    return jnp.stack(list(pixels(padded, windows)), axis=-2), real[..., None]


@partial(jax.jit, static_argnums=range(1, 7))
def _max_pool(
    x: Array,
    window: tuple[int, ...],
    stride: tuple[int, ...],
    pads: Pads,
    border: str,
    dilation: tuple[int, ...],
    implementation: str,
) -> Array:
    is_float = jnp.issubdtype(x.dtype, jnp.floating)
    lowest = -np.inf if is_float else x.dtype.type(0) if x.dtype == bool else jnp.iinfo(x.dtype).min
    x, pads = frame(x, pads, border)
    windows = Windows(x.shape[1:-1], window, stride, dilation, pads)
    if implementation == "lax":
        return _reduce(x, windows, lowest, lax.max)
    return _maximum(x, windows) if is_float else fold(x, windows, jnp.maximum, lowest)


def _disjoint(windows: Windows) -> bool:
    return windows.window == windows.stride and not any(map(any, windows.borders))


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _maximum(x: Array, windows: Windows) -> Array:
    if x.dtype == jnp.bfloat16 and x.shape[-1] >= MANY_CHANNELS and _disjoint(windows):
        return _reduce(x, windows, -np.inf, lax.max)
    wide = jnp.promote_types(x.dtype, jnp.float32)  # XLA would round bfloat16 after every single maximum
    return fold(x.astype(wide), windows, jnp.maximum, -np.inf).astype(x.dtype)


@_maximum.defjvp
def _maximum_jvp(windows: Windows, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    best, place = largest(*primals, windows)
    return best, pick(*tangents, place, windows=windows)


@partial(jax.jit, static_argnums=range(1, 8))
def _avg_pool(
    x: Array,
    window: tuple[int, ...],
    stride: tuple[int, ...],
    pads: Pads,
    border: str,
    dilation: tuple[int, ...],
    count_include_pad: bool,
    implementation: str,
) -> Array:
    wide = jnp.promote_types(x.dtype, jnp.float32)  # a sum in bfloat16 would round at every tap
    dtype = jnp.result_type(x.dtype, float)
    x, pads = frame(x.astype(wide), pads, border)
    windows = Windows(x.shape[1:-1], window, stride, dilation, pads)
    if implementation == "lax":
        sums = _reduce(x, windows, 0, lax.add)
    else:
        sums = weighted_sum(x, windows=windows, weights=tuple((1.0,) * k for k in window))
    if count_include_pad:
        count = np.asarray(np.prod(window), wide)
    else:
        count = real_taps(windows.size, window, stride, windows.borders, dilation)[None, ..., None].astype(wide)
    return (sums / count).astype(dtype)


def _reduce(x: Array, windows: Windows, start: float, combine: Callable) -> Array:
    """The plain formulation: XLA's `reduce_window`."""
    size, strides, dilation = ((1, *axes, 1) for axes in windows[1:4])
    pads = ((0, 0), *windows.borders, (0, 0))
    return lax.reduce_window(x, np.asarray(start, x.dtype), combine, size, strides, pads, window_dilation=dilation)


class MaxPool(Downsample):
    """Maximum over a window, by default as large as the stride.

    ``y[i] = max_t x[s i + t - pad_low]``. Keeps the strongest response wherever it stands in the window. No low-pass: it
    aliases. Phase: the window's centre, (k - 1) / 2 - pad_low, half a pixel for 2 x 2. Source: Riesenhuber and Poggio 1999.
    """

    def at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, height, width, channels]`` to its windows' maxima."""
        return max_pool(x, self.window, stride=stride, padding=self.rule(x.shape[1:3]))


class AvgPool(Downsample):
    """Mean over a window, by default as large as the stride; zero padding is not counted.

    ``y[i] = mean_t x[s i + t - pad_low]``: a box filter, so a crude low-pass that aliases less than a maximum and blurs
    more. Phase as `MaxPool`. Source: LeCun et al. 1998.
    """

    def at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, height, width, channels]`` to its windows' means."""
        return avg_pool(x, self.window, stride=stride, padding=self.rule(x.shape[1:3]))
