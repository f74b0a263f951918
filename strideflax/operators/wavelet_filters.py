"""The filters of wavelets, each computed from its definition: Daubechies' orthonormal ones and biorthogonal splines."""

import math
from dataclasses import dataclass

import numpy as np

from strideflax.operators.blur import binomial_filter
from strideflax.operators.geometry import per_axis


@dataclass(frozen=True)
class Filter:
    """A filter of one axis: ``taps[0]`` stands ``first`` pixels after the even pixel that it belongs to."""

    taps: tuple[float, ...]
    first: int

    @property
    def middle(self) -> float:
        """Where the filter's centre of mass lies, in pixels from the even pixel that it belongs to: its delay of a ramp."""
        taps = np.array(self.taps)
        return round(self.first + float(taps @ np.arange(len(taps)) / taps.sum()), 9)  # symmetric ones exactly 0 or 1/2

    def mirrored(self) -> "Filter":
        """Return the high-pass ``(-1)^n f[1 - n]``, which with the low-pass on the other side is blind to this one."""
        first = 1 - (self.first + len(self.taps) - 1)
        taps = tuple((-1) ** abs(first + i) * tap for i, tap in enumerate(reversed(self.taps)))
        return Filter(taps, first)


@dataclass(frozen=True)
class Wavelet:
    """The low-pass filters of a wavelet on the way down and on the way back; the high-passes follow from them.

    Each has the sum ``sqrt(2)``: a constant grows by that along each axis, as with `strideflax.haar_low`. An orthonormal
    wavelet has the same filter both ways.
    """

    low: Filter
    back: Filter

    def down(self) -> tuple[Filter, Filter]:
        """Return the low-pass and the high-pass of the way down."""
        return self.low, self.back.mirrored()

    def up(self) -> tuple[Filter, Filter]:
        """Return the low-pass and the high-pass of the way back."""
        return self.back, self.low.mirrored()


IDENTITY = Filter((1.0,), 0)


def daubechies(moments: int) -> Wavelet:
    """Return Daubechies' orthonormal wavelet with ``moments`` vanishing moments, 1 to 10, and twice as many taps: 1 is Haar's.

    The low-pass is the factor of least phase, placed so that its centre of mass is nearest to 1/2: ``(1 + z)^N`` times the
    roots inside the unit circle of ``sum_k binomial(N - 1 + k, k) y^k`` at ``y = (2 - z - 1/z) / 4``. Source: Daubechies
    1988.
    """
    (order,) = per_axis(moments, 1, "moments")
    if order > 10:
        raise ValueError(f"moments must be at most 10, got {moments!r}")
    taps = np.ones(1)
    for _ in range(order):
        taps = np.convolve(taps, [1, 1])
    for y in np.roots([math.comb(order - 1 + k, k) for k in reversed(range(order))]):
        pair = np.roots([1, 4 * y - 2, 1])
        taps = np.convolve(taps, [1, -pair[np.abs(pair).argmin()]])
    shares = np.real(taps) / np.real(taps).sum()
    middle = float(shares @ np.arange(2 * order))
    low = Filter(tuple(map(float, math.sqrt(2) * shares)), round(0.5 - middle))
    return Wavelet(low, low)


def spline_wavelet(back: int, moments: int) -> Wavelet:
    """Return the symmetric biorthogonal wavelet whose way back is the spline of order ``back``, "biorN.M" of other libraries.

    On the way back the low-pass is the binomial filter of ``back + 1`` taps; on the way down it has ``moments`` vanishing
    moments: the binomial of ``moments + 1`` taps times ``sum_k binomial(K - 1 + k, k) sin(w / 2)^(2 k)``,
    ``K = (back + moments) / 2``. (2, 2) is the 5/3 wavelet of JPEG 2000. Source: Cohen, Daubechies and Feauveau 1992.

    Raises:
        ValueError: numbers whose sum is odd.
    """
    (order,), (vanishing,) = per_axis(back, 1, "back"), per_axis(moments, 1, "moments")
    if (order + vanishing) % 2:
        raise ValueError(f"back and moments must both be even or both be odd, got {back} and {moments}")
    half = (order + vanishing) // 2
    correction, power = np.zeros(2 * half - 1), np.ones(1)
    for k in range(half):
        middle = half - 1
        correction[middle - k : middle + k + 1] += math.comb(half - 1 + k, k) * power
        power = np.convolve(power, [-0.25, 0.5, -0.25])
    low = np.convolve(binomial_filter(vanishing + 1), correction)
    return Wavelet(_centred(low), _centred(binomial_filter(order + 1)))


def _centred(taps: np.ndarray) -> Filter:
    """Return a symmetric filter around pixel 0 if its length is odd, around 1/2 if it is even, with the sum sqrt(2)."""
    return Filter(tuple(map(float, math.sqrt(2) * taps)), -((len(taps) - 1) // 2))
