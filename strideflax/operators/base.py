"""What every downsampling operator agrees on, so that a model can take any of them."""

import math
from collections.abc import Sequence
from typing import ClassVar

from flax import nnx
from jax import Array

from strideflax.operators.geometry import (
    BORDERS,
    PADDINGS,
    Padding,
    Stage,
    centred,
    explicit_pads,
    is_int,
    per_axis,
    receptive_fields,
)


class Downsample(nnx.Module):
    """A layer that maps ``[batch, height, width, in_features]`` to ``[batch, ceil(h / s), ceil(w / s), out_features]``.

    Args:
        in_features: channels that come in.
        out_features: channels that go out. Only operators that convolve (`convolves`) may choose it; the others state
            theirs in ``out_features``, most of them ``in_features``.
        stride: an int, or one per axis.
        window: the operator's window, filter or kernel. An int is used on every axis that is downsampled (all axes, if the
            operator convolves), a pair is taken as it is, None is the operator's default.
        padding: ``"SYMMETRIC"`` (zeros, centred), ``"SAME"`` or ``"SAME_LOWER"`` (zeros, TensorFlow's), ``"REFLECT"`` or
            ``"CIRCULAR"``.
        rngs: Flax random streams; ``params`` initialises what is learned.

    Raises:
        ValueError: a stride, window, padding or width that the operator does not have.
    """

    convolves: ClassVar[bool] = False  # True: it is itself the block's convolution, so placement does not apply
    default_window: ClassVar[int | None] = None  # None: its stride, unless `windowless`
    windowless: ClassVar[bool] = False
    stacks: ClassVar[bool] = False  # True: it stacks the phases (or bands) of a block on channels
    strides: ClassVar[tuple[int, ...] | None] = None  # per axis, those that its definition allows; None: any
    follower: ClassVar["type[Downsample] | None"] = None  # takes its place where `index` is given, on a shortcut
    paddings: ClassVar[tuple[str, ...]] = tuple(p for p in PADDINGS if p != "VALID")

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        stride: int | Sequence[int] = 2,
        window: int | Sequence[int] | None = None,
        padding: str = "SYMMETRIC",
        rngs: nnx.Rngs | None = None,
    ):
        name = type(self).__name__
        if padding not in self.paddings:
            raise ValueError(f"{name}: padding must be one of {', '.join(self.paddings)}, got {padding!r}")
        if window is not None and self.windowless:
            raise ValueError(f"{name} has no window to choose, got window={window!r}")
        self.stride = per_axis(stride, 2, f"{name}: stride")
        if self.strides and not set(self.stride) <= set(self.strides):
            raise ValueError(f"{name}: stride must be one of {self.strides} on each axis, got {stride!r}")
        features = in_features * math.prod(self.stride) if self.stacks else in_features
        if out_features not in (None, features) and not self.convolves:
            verb = "keeps its" if features == in_features else f"makes {features} of"
            raise ValueError(f"{name} {verb} {in_features} channels, got out_features={out_features}")
        self.in_features = in_features
        self.out_features = features if out_features is None else out_features
        self.window = self._window(window)
        self.padding = padding

    def _window(self, window: int | Sequence[int] | None) -> tuple[int, ...]:
        default = self.default_window if window is None else window
        if default is None:
            return self.stride
        sizes = per_axis(default, 2, f"{type(self).__name__}: window")
        if self.convolves or not is_int(default):
            return sizes
        return tuple(k if s > 1 else 1 for k, s in zip(sizes, self.stride, strict=True))

    def __call__(self, x: Array, *, train: bool = False, key: Array | None = None, index: Array | None = None) -> Array:
        """Downsample ``x``.

        Args:
            x: ``[batch, height, width, in_features]``.
            train: training behaviour, where it differs.
            key: randomness, for stochastic operators in training.
            index: what `select` chose, for adaptive operators; None lets them choose here.

        Returns:
            ``[batch, ceil(height / s), ceil(width / s), out_features]``.

        Raises:
            ValueError: an input of another shape.
        """
        return self.at_stride(self.checked(x), self.stride)

    def checked(self, x: Array) -> Array:
        """Return ``x`` if it has the shape that the operator was built for."""
        if x.ndim != 4 or x.shape[-1] != self.in_features:
            raise ValueError(
                f"{type(self).__name__} takes [batch, height, width, {self.in_features}], got an input of shape {x.shape}"
            )
        return x

    def at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Return the operator's output read at every ``stride``-th position, with the padding of its own stride."""
        raise TypeError(f"{type(self).__name__} is not a filter followed by subsampling")

    def dense(self, x: Array) -> Array:
        """Return the full-resolution map that the operator subsamples: ``dense(x)[:, ::s, ::s]`` is its output.

        Raises:
            TypeError: the operator is no filter followed by subsampling.
        """
        return self.at_stride(self.checked(x), (1, 1))

    def select(self, x: Array, *, train: bool = False, key: Array | None = None) -> Array | None:
        """Return the phase ``[batch]`` that an adaptive operator keeps of each sample, None for all others.

        One that mixes phases in training returns their weights, ``[batch, phases]``, there.
        """
        return None

    def rule(self, size: Sequence[int], window: Sequence[int] | None = None) -> Padding:
        """Return the padding to hand to a function, fixed for the operator's own stride on a map of ``size``."""
        window = self.window if window is None else window
        if self.padding in BORDERS:
            explicit_pads(self.padding, size, window, self.stride, (1, 1))  # says so if the map is too small
            return self.padding
        return explicit_pads(centred(self.padding, window), size, window, self.stride, (1, 1))

    def stages(self, size: Sequence[int]) -> tuple[Stage, ...]:
        """Return the sliding steps of the operator on a map of ``size``, for shapes, receptive fields and costs."""
        return (self.stage(size, self.window, self.stride),)

    def stage(
        self,
        size: Sequence[int],
        window: Sequence[int],
        stride: Sequence[int],
        *,
        fan_in: int = 1,
        features: int | None = None,
        separable: bool = False,
    ) -> Stage:
        """Return one sliding step with this operator's padding."""
        return Stage(
            window=tuple(window),
            stride=tuple(stride),
            pads=explicit_pads(centred(self.padding, window), size, window, self.stride, (1, 1)),
            border=BORDERS.get(self.padding, "zeros"),
            fan_in=fan_in,
            features=self.in_features if features is None else features,
            separable=separable,
        )

    def phase(self, size: Sequence[int]) -> tuple[float, ...] | None:
        """Return where output 0 is centred, in pixels of a map of ``size``; None if that depends on the image."""
        return tuple(field.start for field in receptive_fields(self.stages(size)))
