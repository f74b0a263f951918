"""The maximum and the mean over sliding windows, channels last."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from strideflax.kernels import resolve_implementation, window_max, window_sum
from strideflax.operators.base import Downsample
from strideflax.operators.geometry import Padding, PerAxis, make_window, require_real_pixels, spatial_size
from strideflax.window import Pads, Window

IMPLEMENTATIONS = ("auto", "slices", "lax")


def max_pool(
    x: Array,
    window: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
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
        ceil_mode: round the output's size up, as PyTorch does: a last window that starts on the map or in its low padding may
            reach beyond the high one. Not with a wrapped or mirrored border.
        implementation: ``"slices"`` (``"auto"``) or ``"lax"``, XLA's own, slow on CPUs; the values are the same.

    Returns:
        ``[batch, *output_size, channels]``.

    Raises:
        ValueError: a window, stride, padding or dilation that does not fit, an empty output, or padding so wide that a
            window would hold nothing but padding.
    """
    x = jnp.asarray(x)
    described = pool_window(x, window, stride, padding, dilation, ceil_mode=ceil_mode)
    return max_over(x, described, implementation=implementation)


def avg_pool(
    x: Array,
    window: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
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
        ceil_mode: as in `max_pool`.
        count_include_pad: divide by the window's size even where it covers zero padding (Flax's and PyTorch's default). What
            ``ceil_mode`` adds beyond the padding never counts, as in PyTorch.
        implementation: as in `max_pool`.

    Returns:
        ``[batch, *output_size, channels]``.

    Raises:
        ValueError: as `max_pool`.
    """
    x = jnp.asarray(x)
    described = pool_window(x, window, stride, padding, dilation, ceil_mode=ceil_mode)
    counted = pool_window(x, window, stride, padding, dilation) if count_include_pad and ceil_mode else described
    return mean_over(
        x, described, count_include_pad=count_include_pad, counted_pads=counted.pads, implementation=implementation
    )


def pool_window(
    x: Array,
    window: PerAxis,
    stride: PerAxis | None,
    padding: Padding,
    dilation: PerAxis,
    *,
    ceil_mode: bool = False,
) -> Window:
    """Return the window that a pool's arguments describe on ``x``, each of whose places holds a pixel of ``x``.

    Raises:
        ValueError: as `max_pool`.
    """
    map_size = spatial_size(x)
    stride = window if stride is None else stride
    described = make_window(map_size, window, stride=stride, padding=padding, dilation=dilation)
    if ceil_mode:
        if described.border != "zeros":
            raise ValueError(
                f"ceil_mode rounds up into zeros, which padding {padding} does not have; use another padding"
            )
        described = described.rounded_up(map_size)
    return require_real_pixels(described, map_size, padding)


def max_over(x: Array, window: Window, *, implementation: str | None = None) -> Array:
    """Take the maximum as `max_pool` does, with the window made already."""
    return _max(x, window, resolve_implementation(implementation, IMPLEMENTATIONS, x))


def mean_over(
    x: Array,
    window: Window,
    *,
    count_include_pad: bool = False,
    counted_pads: Pads | None = None,
    implementation: str | None = None,
) -> Array:
    """Take the mean as `avg_pool` does, with the window made already.

    ``counted_pads`` are those of the window's pads that ``count_include_pad`` counts, if not all.
    """
    how = resolve_implementation(implementation, IMPLEMENTATIONS, x)
    return _mean(x, window, bool(count_include_pad), counted_pads or window.pads, how)


@partial(jax.jit, static_argnames=("window", "implementation"))
def _max(x: Array, window: Window, implementation: str) -> Array:
    return window_max(x, window, implementation=implementation)


@partial(jax.jit, static_argnames=("window", "count_include_pad", "counted_pads", "implementation"))
def _mean(x: Array, window: Window, count_include_pad: bool, counted_pads: Pads, implementation: str) -> Array:
    wide = jnp.promote_types(x.dtype, jnp.float32)  # a sum in bfloat16 would round at every tap
    sums = window_sum(x.astype(wide), window, implementation=implementation)
    count = np.asarray(np.prod(window.size), wide)
    if not count_include_pad:  # mirrored and wrapped pixels are real ones
        counts = window.real_taps(x.shape[1:-1]) if window.border == "zeros" else np.full(sums.shape[1:-1], count)
        count = counts[None, ..., None].astype(wide)
    elif counted_pads != window.pads:
        beyond = tuple((0, high - h) for (_, high), (_, h) in zip(window.pads, counted_pads, strict=True))
        padded_size = [n + low + h for n, (low, h) in zip(x.shape[1:-1], counted_pads, strict=True)]
        count = replace(window, pads=beyond).real_taps(padded_size)[None, ..., None].astype(wide)
    return (sums / count).astype(jnp.result_type(x.dtype, float))


class MaxPool(Downsample):
    """Maximum over a window, by default as large as the stride.

    ``y[i] = max_t x[s i + t - pad_low]``. Keeps the strongest response wherever it stands in the window. No low-pass: it
    aliases. Phase: the window's centre, (k - 1) / 2 - pad_low, half a pixel for 2 x 2. Source: Riesenhuber and Poggio 1999.

    When it helps: where features are sparse and strong; it absorbs small shifts inside a window.
    """

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its windows' maxima."""
        return max_over(x, self._window_on(x.shape[1:-1]).at_stride(stride))


class AvgPool(Downsample):
    """Mean over a window, by default as large as the stride; zero padding is not counted.

    ``y[i] = mean_t x[s i + t - pad_low]``: a box filter, so a crude low-pass that aliases less than a maximum and blurs
    more. Phase as `MaxPool`. Source: LeCun et al. 1998.

    When it helps: on smooth maps, as the simplest low-pass.
    """

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its windows' means."""
        return mean_over(x, self._window_on(x.shape[1:-1]).at_stride(stride))
