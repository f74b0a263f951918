"""Power means: the Lp pool, whose exponent is fixed, and the generalised mean, whose exponent is learned."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from strideflax.kernels import window_pixels
from strideflax.operators.base import Downsample
from strideflax.operators.geometry import Padding, PerAxis
from strideflax.operators.pool import pool_window
from strideflax.window import Window

FLOOR = 1e-6  # under the pixels of a generalised mean


def lp_pool(
    x: Array,
    window: PerAxis,
    *,
    p: float = 2,
    stride: PerAxis | None = None,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
) -> Array:
    """Take the p-norm of each window, ``(sum_t |x[t]|^p)^(1/p)``: a sum and not a mean, as in ONNX and PyTorch.

    Zero padding adds nothing. The gradient of a window of zeros, where the norm has a corner, is 0 (the subgradient
    of least norm); the value there is exactly 0, as no epsilon is added. The sum is scaled by the window's largest
    value, so that no power overflows.

    Args:
        x: ``[batch, *spatial, channels]``, one to three spatial axes.
        window: size of the window, an int or one per axis.
        p: the exponent, finite and >= 1; the larger, the closer to the maximum of ``|x|``.
        stride: step between windows; the window's size if None.
        padding: as in `strideflax.conv`.
        dilation: distance between taps.

    Returns:
        ``[batch, *output_size, channels]``.

    Raises:
        ValueError: an exponent out of range, or as `strideflax.max_pool`.

    >>> float(lp_pool(jnp.array([3.0, 4.0]).reshape(1, 2, 1), 2)[0, 0, 0])
    5.0
    """
    if isinstance(p, bool) or not isinstance(p, int | float | np.integer | np.floating) or not 1 <= p < math.inf:
        raise ValueError(
            f"p must be a finite number >= 1, got {p!r}; for infinity take max_pool of the absolute values"
        )
    exponent = int(p) if p == int(p) else float(p)  # JAX differentiates an integer power without logarithms
    x = jnp.asarray(x)
    described = pool_window(x, window, stride, padding, dilation)
    return _lp_pool(x, described, exponent)


def generalized_mean_pool(
    x: Array,
    window: PerAxis,
    p: float | Array,
    *,
    stride: PerAxis | None = None,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
    eps: float = FLOOR,
) -> Array:
    """Take the power mean of each window, ``(mean_t max(x[t], eps)^p)^(1/p)``, over its real pixels alone.

    ``p = 1`` is the average, ``p -> infinity`` the maximum. Differentiable in ``x`` and ``p``; pixels below ``eps``
    get no gradient. The mean is scaled by the window's largest value, so that no power overflows.

    Args:
        x: ``[batch, *spatial, channels]``, one to three spatial axes; meant to be non-negative, as after a ReLU.
        window: size of the window, an int or one per axis.
        p: the exponent, a positive scalar, which may be traced and learned.
        stride: step between windows; the window's size if None.
        padding: as in `strideflax.conv`; zero padding is not counted.
        dilation: distance between taps.
        eps: the floor under ``x``, > 0; an empty window gives ``eps``.

    Returns:
        ``[batch, *output_size, channels]``.

    Raises:
        ValueError: a ``p`` that is no scalar or known not to be positive, an ``eps`` that is not positive, or as
            `strideflax.max_pool`.
    """
    if jnp.ndim(p) or (not isinstance(p, jax.core.Tracer) and not 0 < float(p) < math.inf):
        raise ValueError(f"p must be a finite scalar > 0, got {p!r}")
    if not 0 < eps < math.inf:
        raise ValueError(f"eps must be a finite number > 0, got {eps!r}")
    x = jnp.asarray(x)
    described = pool_window(x, window, stride, padding, dilation)
    return _generalized_mean(x, described, float(eps), 1.0 * p)


@partial(jax.jit, static_argnames=("window", "p"))
def _lp_pool(x: Array, window: Window, p: float) -> Array:
    x = x.astype(jnp.result_type(x.dtype, float))
    x = x * jnp.sign(x)  # the absolute value, with slope 0 at 0
    pixels, _ = window_pixels(x, window)
    return _power_sum(pixels, p, np.ones((1,) * pixels.ndim)).astype(jnp.result_type(x.dtype, float))


@partial(jax.jit, static_argnames=("window", "eps"))
def _generalized_mean(x: Array, window: Window, eps: float, p: float | Array) -> Array:
    pixels, real = window_pixels(x, window)
    mean = _power_sum(jnp.maximum(pixels, eps), p, real / real.sum(axis=-2, keepdims=True))
    return mean.astype(jnp.result_type(x.dtype, float))


def _power_sum(pixels: Array, p: float | Array, weights: np.ndarray) -> Array:
    """Return ``(sum_t weights[t] pixels[t]^p)^(1/p)`` over the taps axis (-2) of ``pixels >= 0``; 0 for a sum of 0."""
    largest = lax.stop_gradient(pixels.max(axis=-2, keepdims=True))  # the value does not depend on the scale
    step = power_of_two_scale(largest)  # XLA divides by multiplying with 1 / scale, which must not be rounded to 0
    largest = largest * step
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    total = (weights.astype(pixels.dtype) * _power(pixels * step / scale, p)).sum(axis=-2)
    root = jnp.where(total == 0, 1, total) ** (1 / p)  # the inner choice keeps an infinite slope out of the gradient
    return jnp.where(total == 0, 0, root) * jnp.squeeze(scale, axis=-2) / jnp.squeeze(step, axis=-2)


def _power(base: Array, p: float | Array) -> Array:
    """Return ``base ** p`` for ``base >= 0``, all of whose derivatives are 0 at 0 if ``p`` is not an integer."""
    if not isinstance(p, float):
        return base**p
    positive = base > 0
    return jnp.where(positive, jnp.where(positive, base, 1) ** p, 0)


def power_of_two_scale(largest: Array) -> Array:
    """Return 2^-64, 1 or 2^64, by which numbers up to ``largest`` can be multiplied without rounding, out of harm's way.

    Sums of a few of the largest floats overflow, and so does the reciprocal of the smallest. float64 has room for either.
    """
    largest = lax.stop_gradient(largest)
    shrink, grow = np.asarray(2.0**-64, largest.dtype), np.asarray(2.0**64, largest.dtype)
    return jnp.where(largest > grow, shrink, jnp.where(largest < shrink, grow, 1))


class L2Pool(Downsample):
    """Root of the sum of squares over a window, by default as large as the stride.

    ``y[i] = sqrt(sum_t x[s i + t - pad_low]^2)``: between average and maximum, and blind to signs. A sum, not a mean: a
    constant map grows by the root of the window's size, and zero padding adds nothing. Phase: the window's centre, as
    `MaxPool`. Costs a multiply-add per tap. Source: Sermanet et al. 2012 (arXiv:1204.3968).

    When it helps: for the energy of a texture, whatever its sign.
    """

    signed = False

    @property
    def constant_gain(self) -> float:
        """The root of the window's size, as it adds up squares."""
        return math.sqrt(math.prod(self.window))

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its windows' Euclidean norms."""
        return _lp_pool(x, self._window_on(x.shape[1:-1]).at_stride(stride), 2)


class GeMPool(Downsample):
    """Generalised mean over a window, by default as large as the stride, with one learned exponent.

    ``y[i] = (mean_t max(x[s i + t - pad_low], eps)^p)^(1/p)`` with eps = 1e-6: from the average (p = 1) to the
    maximum. The layer learns ``log p``, which keeps ``p`` positive, from p = 3 on, one for all channels. Zero padding
    is not counted. For non-negative maps: it stands after a ReLU. Phase: the window's centre, as `MaxPool`. Costs a
    multiply-add per tap (powers not counted). Source: Radenovic et al. 2018 (arXiv:1711.02512).

    When it helps: where the best mean lies between average and maximum and is to be learned.
    """

    signed = False

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create the exponent's logarithm."""
        self.log_p = nnx.Param(jnp.log(3.0))

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Map ``[batch, *spatial, channels]`` to its windows' power means."""
        window = self._window_on(x.shape[1:-1]).at_stride(stride)
        return _generalized_mean(x, window, FLOOR, jnp.exp(self.log_p[...]))
