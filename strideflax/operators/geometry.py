"""Padding rules: from what a user asks for to one explicit `Window`. Plain Python.

Every function takes one value per spatial axis or a single int for all of them. Names: ``n`` input size, ``k`` window,
``s`` stride, ``d`` dilation, and the extent of a dilated window ``k_e = (k - 1) * d + 1``.
"""

from collections.abc import Sequence
from typing import TypeAlias, TypeGuard

import numpy as np
from jax import Array

from strideflax.window import Pads, Window, extent

PADDINGS = ("VALID", "SAME", "SAME_LOWER", "SYMMETRIC", "CIRCULAR", "REFLECT")
MODULE_PADDINGS = tuple(padding for padding in PADDINGS if padding != "VALID")  # those that give ceil(n / s) outputs
BORDERS = {"CIRCULAR": "wrap", "REFLECT": "reflect"}  # paddings that copy pixels instead of adding zeros -> np.pad mode

PerAxis: TypeAlias = int | Sequence[int]  # one for every spatial axis, or one each
Padding: TypeAlias = str | int | Sequence[int | tuple[int, int]]


def make_window(
    map_size: Sequence[int], size: PerAxis, *, stride: PerAxis = 1, padding: Padding = "VALID", dilation: PerAxis = 1
) -> Window:
    """Return the window that a user's arguments describe on a map of ``map_size``, checked and explicit per axis.

    Args:
        map_size: the map's spatial size, which most padding rules depend on.
        size: taps of the window, an int or one per axis.
        stride: step between windows, an int or one per axis.
        padding: a rule's name, an int, or pairs; see `explicit_pads`.
        dilation: distance between taps, an int or one per axis.

    Raises:
        ValueError: an argument that does not fit, or a window that does not fit even once.
    """
    axes = len(map_size)
    sizes, strides = per_axis(size, axes, "window"), per_axis(stride, axes, "stride")
    dilations = per_axis(dilation, axes, "dilation")
    pads = explicit_pads(padding, map_size, sizes, strides, dilations)
    window = Window(size=sizes, stride=strides, pads=pads, dilation=dilations, border=border_of(padding))
    window.output_size(map_size)
    return window


def require_real_pixels(window: Window, map_size: Sequence[int], padding: Padding) -> Window:
    """Return ``window`` if each of its places holds a pixel of the map: a pool of nothing but padding has no value.

    Raises:
        ValueError: zero padding so wide that it fills whole windows.
    """
    if window.border != "zeros":
        return window
    empty = int((window.real_taps(map_size) == 0).sum())
    if empty:
        raise ValueError(
            f"padding {padding!r} leaves {empty} windows of size {window.size} without a single pixel of the "
            f"input {tuple(map_size)}; use less padding"
        )
    return window


def spatial_size(x: Array) -> tuple[int, ...]:
    """Return the sizes between batch and channels: one, two or three axes are allowed, and none may be empty."""
    shape = x.shape
    if len(shape) not in (3, 4, 5):
        raise ValueError(f"x must be [batch, *spatial, channels] with 1, 2 or 3 spatial axes, got shape {shape}")
    if any(is_int(n) and n == 0 for n in shape[1:]):
        raise ValueError(f"x must have no empty spatial or channel axis, got shape {shape}")
    return shape[1:-1]


def per_axis(value: PerAxis, axes: int, name: str, minimum: int = 1) -> tuple[int, ...]:
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


def border_of(padding: Padding) -> str:
    """Return what lies beyond a map under this padding: "zeros", "wrap" or "reflect"."""
    return BORDERS.get(padding, "zeros") if isinstance(padding, str) else "zeros"


def explicit_pads(
    padding: Padding, map_size: Sequence[int], size: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
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
    axes = len(map_size)
    if isinstance(padding, str):
        pads = []
        for n, k_e, s in zip(map_size, extent(size, dilation), stride, strict=True):
            pads.append(_pads_by_rule(padding, n, k_e, s))
        check_border(padding, map_size, tuple(pads))
        return tuple(pads)
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


def _pads_by_rule(rule: str, n: int, k_e: int, s: int) -> tuple[int, int]:
    total = max((-(-n // s) - 1) * s + k_e - n, 0)
    if rule == "VALID":
        return 0, 0
    if rule == "SAME":
        return total // 2, total - total // 2
    if rule == "SAME_LOWER":
        return total - total // 2, total // 2
    if rule == "SYMMETRIC":
        return k_e // 2, k_e // 2
    if rule in BORDERS:
        return (k_e - 1) // 2, k_e // 2
    raise ValueError(
        f"padding must be one of {', '.join(PADDINGS)}, an int, or (low, high) pairs per axis, got {rule!r}"
    )


def check_border(padding: Padding, map_size: Sequence[int], pads: Pads) -> None:
    """Raise ValueError if ``CIRCULAR`` or ``REFLECT`` padding would have to copy more pixels than a map has."""
    if padding not in BORDERS:
        return
    for n, pair in zip(map_size, pads, strict=True):
        limit = n - 1 if padding == "REFLECT" else n
        if max(pair) > limit:
            raise ValueError(
                f"padding {padding} needs a border of {max(pair)} pixels, but a map of size {n} can fill at most {limit}; "
                "use SAME or SYMMETRIC (zeros), or a smaller window or stride"
            )


def centred(padding: Padding, size: Sequence[int]) -> Padding:
    """Return the padding a downsampling module uses, so that every module gives ``ceil(n / s)`` for every window.

    ``SYMMETRIC`` with an even window would add one output; modules pad ``((k - 1) // 2, k // 2)`` then, which equals
    ``k // 2`` on both sides for odd windows. Everything else passes through.
    """
    return tuple(((k - 1) // 2, k // 2) for k in size) if padding == "SYMMETRIC" else padding


def output_size(
    size: PerAxis,
    window: PerAxis,
    *,
    stride: PerAxis = 1,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
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
    described = make_window(sizes, window, stride=stride, padding=padding, dilation=dilation)
    outputs = described.output_size(sizes, ceil_mode=ceil_mode)
    return outputs[0] if is_int(size) else outputs


def is_int(value: object) -> TypeGuard[int]:
    """Return whether ``value`` is a Python or NumPy integer; a bool is not one here."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
