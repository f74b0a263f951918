"""The geometry of a sliding window as one value: made once from a user's arguments, handed on whole. Plain Python and NumPy.

Names in formulas: ``n`` the map's size along an axis, ``k`` the window's, ``s`` stride, ``d`` dilation, and
``k_e = (k - 1) d + 1``, the extent of a dilated window.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np

Pads: TypeAlias = tuple[tuple[int, int], ...]  # low and high, per spatial axis


@dataclass(frozen=True, kw_only=True)
class Window:
    """A window that slides over a map; everything is explicit, with one entry per spatial axis.

    Attributes:
        size: taps of the window.
        stride: step between windows.
        pads: pixels added before and after the map.
        dilation: distance between taps.
        border: what the added pixels are, "zeros" (or what an operator puts there instead), "wrap" or "reflect".
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    pads: Pads
    dilation: tuple[int, ...]
    border: str = "zeros"

    @classmethod
    def dense(cls, size: Sequence[int], *, pads: Pads | None = None, dilation: Sequence[int] | None = None) -> Self:
        """Return a window of ``size`` at stride 1, without padding and dilation unless they are given."""
        ones = (1,) * len(size)
        pads = ((0, 0),) * len(size) if pads is None else pads
        return cls(size=tuple(size), stride=ones, pads=pads, dilation=tuple(dilation or ones))

    @property
    def axes(self) -> int:
        """Number of spatial axes."""
        return len(self.size)

    @property
    def extent(self) -> tuple[int, ...]:
        """Size of the dilated window, ``(k - 1) d + 1`` per axis."""
        return extent(self.size, self.dilation)

    @property
    def is_padded(self) -> bool:
        """Whether any pixel is added around the map."""
        return any(low or high for low, high in self.pads)

    def at_stride(self, stride: Sequence[int]) -> Self:
        """Return the same window, with the same pads, at another stride."""
        return replace(self, stride=tuple(stride))

    def at_stride_one(self) -> Self:
        """Return the same window, with the same pads, at every position."""
        return self.at_stride((1,) * self.axes)

    def without_pads(self) -> Self:
        """Return the window over a map that holds its padding already."""
        return replace(self, pads=((0, 0),) * self.axes, border="zeros")

    def output_size(self, map_size: Sequence[int], *, ceil_mode: bool = False) -> tuple[int, ...]:
        """Return how many windows fit along each axis, ``floor((n + low + high - k_e) / s) + 1``.

        Args:
            map_size: the map's spatial size.
            ceil_mode: round up instead, but never start a window in the high padding (PyTorch's rule).

        Raises:
            ValueError: the window does not fit even once.
        """
        outputs = []
        for n, k_e, s, (low, high) in zip(map_size, self.extent, self.stride, self.pads, strict=True):
            span = n + low + high - k_e
            if span < 0:
                raise ValueError(
                    f"empty output: a window of extent {k_e} does not fit in size {n} with padding ({low}, {high}); "
                    "use a smaller window, a smaller stride before it, or more padding"
                )
            count = span // s + 1
            if ceil_mode:
                count = -(-span // s) + 1
                if (count - 1) * s >= n + low:
                    count -= 1
            outputs.append(count)
        return tuple(outputs)

    def rounded_up(self, map_size: Sequence[int]) -> Self:
        """Return the window padded at the high end so that all outputs of ``output_size(map_size, ceil_mode=True)`` fit."""
        outputs = self.output_size(map_size, ceil_mode=True)
        pads = []
        for n, o, k_e, s, (low, high) in zip(map_size, outputs, self.extent, self.stride, self.pads, strict=True):
            pads.append((low, max(high, (o - 1) * s + k_e - n - low)))
        return replace(self, pads=tuple(pads))

    def taps_inside(self, map_size: Sequence[int]) -> list[np.ndarray]:
        """Return per axis which taps of each window fall on the map and not on its padding, bool ``[outputs, k]``."""
        inside = []
        outputs = self.output_size(map_size)
        for axis, n in enumerate(map_size):
            first = np.arange(outputs[axis]) * self.stride[axis] - self.pads[axis][0]
            position = first[:, None] + np.arange(self.size[axis]) * self.dilation[axis]
            inside.append((position >= 0) & (position < n))
        return inside

    def real_taps(self, map_size: Sequence[int]) -> np.ndarray:
        """Return how many taps of each window fall on the map and not on its padding, ``[*output_size]``."""
        counts = np.ones((), int)
        for inside in self.taps_inside(map_size):
            counts = counts[..., None] * inside.sum(1)
        return counts


def extent(size: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """Return the size of each dilated window, ``(k - 1) d + 1``."""
    return tuple((k - 1) * d + 1 for k, d in zip(size, dilation, strict=True))
