"""The way back of a blur: zeros between the pixels, and a binomial filter over them."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jax import Array

from strideflax.operators.blur import binomial_filter
from strideflax.operators.geometry import PerAxis, per_axis, spatial_size
from strideflax.operators.spread import spread
from strideflax.operators.upsample import Upsample, fine_size


def blur_upsample(
    x: Array,
    stride: PerAxis = 2,
    *,
    taps: PerAxis | None = None,
    size: Sequence[int] | None = None,
    padding: str = "SYMMETRIC",
) -> Array:
    """Put zeros between the pixels and blur them with binomial filters: the transpose of `strideflax.blur_pool`, normalised.

    The filter takes away the images of the spectrum that zeros between pixels make: more with more taps. At stride 2, three
    taps are linear interpolation at phase 0 and four taps at phase 1/2.

    Args:
        x: ``[batch, *spatial, channels]``, floating point, one to three spatial axes.
        stride: an int or one per axis.
        taps: filter length, at least ``2 * stride - 2``, an int for every axis that grows or one per axis; None is
            ``2 * stride + 1``.
        size: of the map that comes out, one that ``stride`` takes to ``spatial``; None is ``spatial * stride``.
        padding: ``"CIRCULAR"`` wraps around; every other rule leaves the missing pixels out. All keep a constant image.

    Returns:
        ``[batch, *size, channels]``, computed in float32 at least, in the floating-point type of ``x``.

    Raises:
        ValueError: a stride, taps, a size, padding or rank that does not fit.
    """
    x = jnp.asarray(x)
    strides = per_axis(stride, len(spatial_size(x)), "stride")
    return _blur(x, fine_size(x.shape[1:-1], strides, size), strides, _lengths(taps, strides), padding)


def _lengths(taps: PerAxis | None, stride: tuple[int, ...]) -> tuple[int, ...]:
    if taps is None:
        return tuple(2 * s + 1 if s > 1 else 1 for s in stride)
    lengths = per_axis(taps, len(stride), "taps")
    if not isinstance(taps, Sequence):
        lengths = tuple(k if s > 1 else 1 for k, s in zip(lengths, stride, strict=True))
    if any(k < 2 * s - 2 for k, s in zip(lengths, stride, strict=True)):
        raise ValueError(
            f"taps must be at least 2 * stride - 2, so that every pixel is reached, got {taps!r} at {stride}"
        )
    return lengths


def _blur(x: Array, size: tuple[int, ...], stride: tuple[int, ...], taps: tuple[int, ...], padding: str) -> Array:
    """Spread binomial filters, which weigh the pixels of a map of ones by about one."""
    lows = tuple((k - 1) // 2 for k in taps)
    filters = tuple(tuple(s * binomial_filter(k)) for k, s in zip(taps, stride, strict=True))
    return spread(x, size, stride, lows, filters, padding)


class BlurUpsample(Upsample):
    """Zeros between the pixels, then a binomial low-pass of ``window`` taps (2 s + 1 by default): the way back of `BlurPool`.

    ``y[j] = sum_i b[j - s i + low] x[i] / sum_i b[j - s i + low]``, the transpose of the blur on the way down. With five taps
    at stride 2 it is the "expand" of a Gaussian pyramid. Smoother than linear interpolation, so fewer images of the spectrum
    are left. Phase 0 for odd lengths, half a pixel for even ones. ``"CIRCULAR"`` wraps around; under the other rules missing
    pixels are left out, and a constant stays. Source: Burt and Adelson 1983.

    When it helps: where the map should come back without aliasing, as it went down.
    """

    default_window = "2 * stride + 1"

    def _usual_window(self) -> tuple[int, ...]:
        """Return ``2 s + 1`` on every axis that grows."""
        return _lengths(None, self.stride)

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Check that the filter reaches every pixel."""
        _lengths(self.window, self.stride)

    def _to_size(self, x: Array, size: tuple[int, ...], index: Array | None) -> Array:
        """Map ``[batch, *spatial, channels]`` to its blurred, enlarged self."""
        return _blur(x, size, self.stride, self.window, self.padding)

    def phase(self) -> tuple[float, ...]:
        """Return 0 for odd lengths, 1/2 for even ones."""
        return tuple((k - 1) / 2 - (k - 1) // 2 for k in self.window)
