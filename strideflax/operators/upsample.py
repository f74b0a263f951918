"""What every upsampling operator agrees on, so that a decoder can take any of them: the way back up."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from flax import nnx
from jax import Array

from strideflax.operators.base import Resampling, check_rngs
from strideflax.operators.geometry import PerAxis, per_axis


class Upsample(Resampling):
    """A layer that maps ``[batch, *spatial, in_features]`` to ``[batch, *size, out_features]``.

    ``size`` is ``spatial * stride``, or any size that a stride takes to ``spatial``. Coarse pixel ``i`` stands at fine pixel
    ``stride * i + phase``, as `Downsample.phase` counts it. A subclass states what it computes in `_to_size`, its learned
    parameters in `_build`, and its costs in `macs`.

    Args:
        in_features: channels that come in.
        out_features: channels that go out. Only operators that convolve (`convolves`) may choose it; the others state theirs
            in ``out_features``, most of them ``in_features``.
        stride: how many fine pixels stand in a coarse one's place, an int or one per axis.
        window: the operator's filter or kernel. An int is used on every axis that grows (all axes, if the operator
            convolves), a sequence is taken as it is, None is the operator's default.
        padding: ``"CIRCULAR"`` wraps around; what the other rules of `Downsample` do, each operator says.
        axes: number of spatial axes, 1, 2 or 3; as many as ``stride`` or ``window`` has entries if None, else two.
        rngs: Flax random streams; ``params`` initialises what is learned.

    Raises:
        ValueError: a stride, window, padding or width that the operator does not have.
    """

    default_window: ClassVar[str | None] = None  # its size in words

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        stride: PerAxis = 2,
        window: PerAxis | None = None,
        padding: str = "SYMMETRIC",
        axes: int | None = None,
        rngs: nnx.Rngs | None = None,
    ):
        check_rngs(rngs)
        self._take(in_features, out_features, stride=stride, window=window, padding=padding, axes=axes)
        self.window = self._usual_window() if window is None else self._sizes(window)
        self._build(rngs)

    def _usual_window(self) -> tuple[int, ...]:
        """Return the default window, as large as the stride where the operator does not say otherwise."""
        return self.stride

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create what the operator learns."""

    def __call__(self, x: Array, *, size: Sequence[int] | None = None, index: Array | None = None) -> Array:
        """Enlarge ``x``.

        Args:
            x: ``[batch, *spatial, in_features]``.
            size: of the map that comes out, one that a stride takes to ``spatial``; None is ``spatial * stride``.
            index: what `Downsample.select` chose on the way down, for operators that put pixels back there.

        Returns:
            ``[batch, *size, out_features]``.

        Raises:
            ValueError: an input of another shape, or a size that does not fit.
        """
        return self._to_size(self._checked(x), fine_size(x.shape[1:-1], self.stride, size), index)

    @abstractmethod
    def _to_size(self, x: Array, size: tuple[int, ...], index: Array | None) -> Array:
        """Return ``x`` enlarged to maps of ``size``."""

    def macs(self, map_size: Sequence[int]) -> int:
        """Return multiply-adds for one image whose coarse map is of ``map_size``."""
        return math.prod(map_size) * math.prod(self.window) * self.in_features

    def phase(self) -> tuple[float, ...] | None:
        """Return where coarse pixel 0 stands on the fine map, in fine pixels; None if that depends on the image."""
        return tuple((s - 1) / 2 for s in self.stride)


def fine_size(map_size: Sequence[int], stride: Sequence[int], size: Sequence[int] | None) -> tuple[int, ...]:
    """Return the fine map's size: ``size``, or ``map_size * stride`` if that is None.

    Raises:
        ValueError: a size that no layer with this stride takes to ``map_size``.
    """
    if size is None:
        return tuple(n * s for n, s in zip(map_size, stride, strict=True))
    sizes = per_axis(size, len(stride), "size")
    if any(-(-fine // s) != n for fine, s, n in zip(sizes, stride, map_size, strict=True)):
        ranges = ", ".join(f"{(n - 1) * s + 1} to {n * s}" for n, s in zip(map_size, stride, strict=True))
        raise ValueError(
            f"size must be one that stride {tuple(stride)} takes to {tuple(map_size)}: {ranges}; got {tuple(size)}"
        )
    return sizes
