"""What a window's pass over a map costs, and what its outputs see of the image behind it. Plain Python."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from strideflax.window import Window


@dataclass(frozen=True)
class Field:
    """Receptive field of a layer's outputs along one axis, in input pixels.

    Output ``i`` sees ``size`` pixels centred on ``start + i * jump``; with ``whole`` also, less directly, all others: through
    a mean over the map, as a norm in training takes.
    """

    size: int = 1
    jump: int = 1
    start: float = 0.0
    whole: bool = False

    def through(self, window: int, stride: int = 1, pad_low: int = 0, dilation: int = 1) -> "Field":
        """Return the field after one more window: ``r + (k-1) d j``, ``start + ((k_e-1)/2 - pad) j``, ``j s``."""
        return Field(
            size=self.size + (window - 1) * dilation * self.jump,
            jump=self.jump * stride,
            start=self.start + ((window - 1) * dilation / 2 - pad_low) * self.jump,
            whole=self.whole,
        )


@dataclass(frozen=True, kw_only=True)
class WindowPass:
    """One pass of a window over a map: all that a layer's output size, receptive field and cost follow from.

    Attributes:
        window: where the windows lie; only taps on a border of zeros are wasted.
        features: output channels.
        fan_in: input channels that one output channel sees.
        separable: done one axis after the other, so that an output costs ``sum(window.size)`` taps instead of their product.
        taps: multiply-adds of one output per input channel, where that is not the number of the window's pixels.
    """

    window: Window
    features: int
    fan_in: int = 1
    separable: bool = False
    taps: int | None = None

    def output_size(self, map_size: Sequence[int]) -> tuple[int, ...]:
        """Return the output size on a map of ``map_size``."""
        return self.window.output_size(map_size)

    def macs(self, map_size: Sequence[int]) -> int:
        """Return multiply-adds (or compares) for one image, taps on padding included."""
        taps = self.taps
        if taps is None:
            taps = sum(self.window.size) if self.separable else math.prod(self.window.size)
        return math.prod(self.output_size(map_size)) * taps * self.fan_in * self.features

    def real_share(self, map_size: Sequence[int]) -> float:
        """Return which share of the taps falls on pixels and not on zero padding."""
        if self.window.border != "zeros":
            return 1.0
        return float(self.window.real_taps(map_size).mean()) / math.prod(self.window.size)


def receptive_fields(passes: Sequence[WindowPass], before: Sequence[Field] | None = None) -> tuple[Field, ...]:
    """Return the receptive field per axis after ``passes``, starting from ``before`` (the pixels themselves if None)."""
    axes = passes[0].window.axes if passes else 2
    fields = list(before or [Field()] * axes)
    for one in passes:
        window = one.window
        for axis, field in enumerate(fields):
            low, _ = window.pads[axis]
            fields[axis] = field.through(window.size[axis], window.stride[axis], low, window.dilation[axis])
    return tuple(fields)


def merge_fields(main: Field, shortcut: Field) -> tuple[Field, float]:
    """Return the field where two branches are added, and by how many input pixels their centres disagree.

    The merged field is the smallest interval that covers both (Araujo, Norris and Sim, Distill 2019, define it for aligned
    branches only, where it is the larger of the two).

    Raises:
        ValueError: the branches' jumps differ, so no single field describes their sum.
    """
    if main.jump != shortcut.jump:
        raise ValueError(f"branches have different jumps, {main.jump} and {shortcut.jump}; their strides must agree")
    low = min(main.start - (main.size - 1) / 2, shortcut.start - (shortcut.size - 1) / 2)
    high = max(main.start + (main.size - 1) / 2, shortcut.start + (shortcut.size - 1) / 2)
    whole = main.whole or shortcut.whole
    merged = Field(size=math.floor(high - low) + 1, jump=main.jump, start=(low + high) / 2, whole=whole)
    return merged, main.start - shortcut.start
