"""Shape arithmetic of sliding windows: padding rules, output sizes, receptive fields. Plain Python and NumPy.

Every function takes one value per spatial axis or a single int for all of them. Names: ``n`` input size, ``k`` window,
``s`` stride, ``d`` dilation, and the extent of a dilated window ``k_e = (k - 1) * d + 1``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard

import numpy as np

PADDINGS = ("VALID", "SAME", "SAME_LOWER", "SYMMETRIC", "CIRCULAR", "REFLECT")
BORDERS = {"CIRCULAR": "wrap", "REFLECT": "reflect"}  # paddings that copy pixels instead of adding zeros -> np.pad mode

Stride: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | int | Sequence[int | tuple[int, int]]
Pads: TypeAlias = tuple[tuple[int, int], ...]


def per_axis(value: int | Sequence[int], axes: int, name: str, minimum: int = 1) -> tuple[int, ...]:
    """Return ``value`` as one int per axis: an int is repeated, a sequence must have ``axes`` entries."""
    values = (value,) * axes if is_int(value) else value
    if (
        isinstance(values, (str, bytes))
        or not isinstance(values, Sequence)
        or len(values) != axes
        or not all(is_int(v) and v >= minimum for v in values)
    ):
        raise ValueError(f"{name} must be an int >= {minimum} or {axes} of them (one per spatial axis), got {value!r}")
    return tuple(int(v) for v in values)


def extent(window: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """Return the size of each dilated window, ``(k - 1) * d + 1``."""
    return tuple((k - 1) * d + 1 for k, d in zip(window, dilation, strict=True))


def explicit_pads(
    padding: Padding,
    size: Sequence[int],
    window: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Pads:
    """Turn a padding rule into explicit ``(low, high)`` pads per axis.

    * ``VALID``: none.
    * ``SAME``: ``o = ceil(n / s)``, total ``max((o - 1) s + k_e - n, 0)``, the smaller half first.
    * ``SAME_LOWER``: the same total, the larger half first.
    * ``SYMMETRIC``: ``k_e // 2`` on both sides (PyTorch's ``padding=k // 2``).
    * ``CIRCULAR``, ``REFLECT``: ``(k_e - 1) // 2`` before and ``k_e // 2`` after, which gives ``o = ceil(n / s)``; the
      border is filled by wrapping around or by mirroring (without repeating the edge pixel).
    * an int (both sides of every axis), or per axis an int or a ``(low, high)`` pair.

    Raises:
        ValueError: an unknown rule, a negative pad, a wrong number of axes, or a border wider than the map can fill.
    """
    axes = len(size)
    if isinstance(padding, str):
        return _rule_pads(padding, size, window, stride, dilation)
    entries = (padding,) * axes if is_int(padding) else padding
    if not isinstance(entries, Sequence) or len(entries) != axes:
        raise ValueError(f"padding must be one of {', '.join(PADDINGS)}, an int, or {axes} pairs, got {padding!r}")
    pads = []
    for entry in entries:
        pair = (entry, entry) if is_int(entry) else entry
        if not isinstance(pair, Sequence) or len(pair) != 2 or not all(is_int(p) and p >= 0 for p in pair):
            raise ValueError(f"padding must be an int >= 0 or a (low, high) pair of them per axis, got {padding!r}")
        pads.append((int(pair[0]), int(pair[1])))
    return tuple(pads)


def _rule_pads(
    rule: str, size: Sequence[int], window: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Pads:
    pads = []
    for n, s, k_e in zip(size, stride, extent(window, dilation), strict=True):
        total = max((-(-n // s) - 1) * s + k_e - n, 0)
        if rule == "VALID":
            pair = (0, 0)
        elif rule == "SAME":
            pair = (total // 2, total - total // 2)
        elif rule == "SAME_LOWER":
            pair = (total - total // 2, total // 2)
        elif rule == "SYMMETRIC":
            pair = (k_e // 2, k_e // 2)
        elif rule in BORDERS:
            pair = ((k_e - 1) // 2, k_e // 2)
            check_border(rule, (n,), (pair,))
        else:
            raise ValueError(
                f"padding must be one of {', '.join(PADDINGS)}, an int, or (low, high) pairs per axis, got {rule!r}"
            )
        pads.append(pair)
    return tuple(pads)


def check_border(padding: Padding, size: Sequence[int], pads: Pads) -> None:
    """Raise ValueError if ``CIRCULAR`` or ``REFLECT`` padding would have to copy more pixels than a map has."""
    for n, pair in zip(size, pads, strict=True):
        limit = n - 1 if padding == "REFLECT" else n
        if padding in BORDERS and max(pair) > limit:
            raise ValueError(
                f"padding {padding} needs a border of {max(pair)} pixels, but a map of size {n} can fill at most {limit}; "
                "use SAME or SYMMETRIC (zeros), or a smaller window or stride"
            )


def centred(padding: Padding, window: Sequence[int]) -> Padding:
    """Return the padding a downsampling module uses, so that every module gives ``ceil(n / s)`` for every window.

    ``SYMMETRIC`` with an even window would add one output; modules pad ``((k - 1) // 2, k // 2)`` then, which equals
    ``k // 2`` on both sides for odd windows. Everything else passes through.
    """
    return tuple(((k - 1) // 2, k // 2) for k in window) if padding == "SYMMETRIC" else padding


def output_size(
    size: int | Sequence[int],
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = "VALID",
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> int | tuple[int, ...]:
    """Return the output size of a convolution or pool, ``floor((n + low + high - k_e) / s) + 1`` per axis.

    Args:
        size: input size, an int (one axis) or one per axis.
        window: kernel size, an int for all axes or one per axis.
        stride: step between windows.
        padding: a rule's name, an int, or pairs; see `explicit_pads`.
        dilation: distance between taps.
        ceil_mode: round up instead, but never start a window in the high padding (PyTorch's rule).

    Returns:
        An int if ``size`` is an int, else a tuple.

    Raises:
        ValueError: bad arguments, or a window that does not fit even once.

    >>> output_size(224, 7, stride=2, padding=3)
    112
    """
    sizes = per_axis(size, len(size) if isinstance(size, Sequence) else 1, "size")
    axes = len(sizes)
    windows, strides = per_axis(window, axes, "window"), per_axis(stride, axes, "stride")
    dilations = per_axis(dilation, axes, "dilation")
    pads = explicit_pads(padding, sizes, windows, strides, dilations)
    out = padded_output_size(sizes, windows, strides, pads, dilations, ceil_mode)
    return out[0] if is_int(size) else out


def padded_output_size(
    size: Sequence[int],
    window: Sequence[int],
    stride: Sequence[int],
    pads: Pads,
    dilation: Sequence[int],
    ceil_mode: bool = False,
) -> tuple[int, ...]:
    """`output_size` with every argument already explicit."""
    outputs = []
    for n, s, k_e, (low, high) in zip(size, stride, extent(window, dilation), pads, strict=True):
        span = n + low + high - k_e
        if span < 0:
            raise ValueError(
                f"empty output: a window of extent {k_e} does not fit in size {n} with padding ({low}, {high}); "
                "use a smaller window, a smaller stride before it, or more padding"
            )
        o = span // s + 1
        if ceil_mode:
            o = -(-span // s) + 1
            o -= (o - 1) * s >= n + low
        outputs.append(o)
    return tuple(outputs)


@dataclass(frozen=True)
class Field:
    """Receptive field of a layer's outputs along one axis, in input pixels.

    Output ``i`` sees ``size`` pixels centred on ``start + i * jump``.
    """

    size: int = 1
    jump: int = 1
    start: float = 0.0

    def through(self, window: int, stride: int = 1, pad_low: int = 0, dilation: int = 1) -> "Field":
        """Return the field after one more window: ``r + (k-1) d j``, ``start + ((k_e-1)/2 - pad) j``, ``j s``."""
        return Field(
            size=self.size + (window - 1) * dilation * self.jump,
            jump=self.jump * stride,
            start=self.start + ((window - 1) * dilation / 2 - pad_low) * self.jump,
        )


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One sliding step of a layer: all that its output size, receptive field and cost follow from.

    Attributes:
        window, stride, pads, dilation: per axis.
        border: "zeros", "wrap" or "reflect"; only taps on zeros are wasted.
        fan_in: input channels that one output channel sees.
        features: output channels.
        separable: done one axis after the other, so that an output costs ``sum(window)`` taps instead of their product.
        taps: multiply-adds of one output per input channel, where that is not the number of the window's pixels.
    """

    window: tuple[int, ...]
    stride: tuple[int, ...]
    pads: Pads
    dilation: tuple[int, ...] = (1, 1)
    border: str = "zeros"
    fan_in: int = 1
    features: int
    separable: bool = False
    taps: int | None = None

    def output(self, size: Sequence[int]) -> tuple[int, ...]:
        """Return the output size on a map of ``size``."""
        return padded_output_size(size, self.window, self.stride, self.pads, self.dilation)

    def macs(self, size: Sequence[int]) -> int:
        """Return multiply-adds (or compares) for one image, taps on padding included."""
        taps = self.taps
        if taps is None:
            taps = sum(self.window) if self.separable else math.prod(self.window)
        return math.prod(self.output(size)) * taps * self.fan_in * self.features

    def real_share(self, size: Sequence[int]) -> float:
        """Return which share of the taps falls on pixels and not on zero padding."""
        if self.border != "zeros":
            return 1.0
        counts = real_taps(size, self.window, self.stride, self.pads, self.dilation)
        return float(counts.mean()) / math.prod(self.window)


def real_taps(
    size: Sequence[int], window: Sequence[int], stride: Sequence[int], pads: Pads, dilation: Sequence[int]
) -> np.ndarray:
    """Return how many taps of each output's window fall on the input and not on padding, ``[*output_size]``."""
    counts = np.ones((), int)
    outputs = padded_output_size(size, window, stride, pads, dilation)
    for n, k, s, (low, _), d, o in zip(size, window, stride, pads, dilation, outputs, strict=True):
        position = np.arange(o)[:, None] * s + np.arange(k) * d - low
        counts = counts[..., None] * ((position >= 0) & (position < n)).sum(1)
    return counts


def receptive_fields(stages: Sequence[Stage], before: Sequence[Field] | None = None) -> tuple[Field, ...]:
    """Return the receptive field per axis after ``stages``, starting from ``before`` (the pixels themselves if None)."""
    fields = list(before or (Field(), Field()))
    for stage in stages:
        fields = [
            field.through(k, s, low, d)
            for field, k, s, (low, _), d in zip(
                fields, stage.window, stage.stride, stage.pads, stage.dilation, strict=True
            )
        ]
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
    low = min(f.start - (f.size - 1) / 2 for f in (main, shortcut))
    high = max(f.start + (f.size - 1) / 2 for f in (main, shortcut))
    merged = Field(size=math.floor(high - low) + 1, jump=main.jump, start=(low + high) / 2)
    return merged, main.start - shortcut.start


def is_int(value: object) -> TypeGuard[int]:
    """Return whether ``value`` is a Python or NumPy integer; a bool is none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
