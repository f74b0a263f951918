"""What every downsampling operator agrees on, so that a model can take any of them."""

from collections.abc import Sequence
from typing import ClassVar

from flax import nnx
from jax import Array

from strideflax.operators.geometry import MODULE_PADDINGS, PerAxis, centred, is_int, make_window, per_axis
from strideflax.operators.receptive_field import WindowPass, receptive_fields
from strideflax.window import Window

AXES = ("length",), ("height", "width"), ("depth", "height", "width")


class Resampling(nnx.Module):
    """What `Downsample` and `strideflax.operators.upsample.Upsample` have in common: their arguments, checked."""

    convolves: ClassVar[bool] = False  # True: it chooses its out_features
    default_window: ClassVar[int | str | None] = None  # None: it has no window to choose

    def _take(
        self,
        in_features: int,
        out_features: int | None,
        *,
        stride: PerAxis,
        window: PerAxis | None,
        padding: str,
        axes: int | None,
    ) -> None:
        """Check the arguments, and keep all but the window."""
        name = type(self).__name__
        if padding not in MODULE_PADDINGS:
            raise ValueError(f"{name}: padding must be one of {', '.join(MODULE_PADDINGS)}, got {padding!r}")
        if window is not None and self.default_window is None:
            raise ValueError(f"{name} has no window to choose, got window={window!r}")
        self.stride = per_axis(stride, layer_axes(name, axes, stride, window), f"{name}: stride")
        features = self._features_from(in_features)
        if out_features not in (None, features) and not self.convolves:
            verb = "keeps its" if features == in_features else f"makes {features} of"
            raise ValueError(f"{name} {verb} {in_features} channels, got out_features={out_features}")
        self.in_features = in_features
        self.out_features = features if out_features is None else out_features
        self.padding = padding

    def _features_from(self, in_features: int) -> int:
        """Return how many channels go out where nobody chooses."""
        return in_features

    def _sizes(self, window: PerAxis) -> tuple[int, ...]:
        """Return a window's size per axis; an int is for every axis that is resampled, or for all if the operator convolves."""
        sizes = per_axis(window, len(self.stride), f"{type(self).__name__}: window")
        if self.convolves or not is_int(window):
            return sizes
        return tuple(k if s > 1 else 1 for k, s in zip(sizes, self.stride, strict=True))

    def _checked(self, x: Array) -> Array:
        """Return ``x`` if it has the shape that the operator was built for."""
        if x.ndim != len(self.stride) + 2 or x.shape[-1] != self.in_features:
            spatial = ", ".join(AXES[len(self.stride) - 1])
            raise ValueError(
                f"{type(self).__name__} takes [batch, {spatial}, {self.in_features}], got an input of shape {x.shape}"
            )
        return x


class Downsample(Resampling):
    """A layer that maps ``[batch, *spatial, in_features]`` to ``[batch, *ceil(spatial / stride), out_features]``.

    It has one, two or three spatial axes: as many as ``stride`` or ``window`` has entries, or ``axes`` says; else two.

    A subclass states what it computes in `_at_stride`, its learned parameters in `_build`, and its costs in `passes`.

    Args:
        in_features: channels that come in.
        out_features: channels that go out. Only operators that convolve (`convolves`) may choose it; the others state
            theirs in ``out_features``, most of them ``in_features``.
        stride: an int, or one per axis.
        window: the operator's window, filter or kernel. An int is used on every axis that is downsampled (all axes, if the
            operator convolves), a sequence is taken as it is, None is the operator's default.
        taps: the length of the low-pass filter behind a convolution, of operators that have both; None is its default.
        padding: ``"SYMMETRIC"`` (zeros, centred), ``"SAME"`` or ``"SAME_LOWER"`` (zeros, TensorFlow's), ``"REFLECT"`` or
            ``"CIRCULAR"``; None is the operator's default, one that keeps a constant map constant where zeros would not.
        axes: number of spatial axes, 1, 2 or 3.
        rngs: Flax random streams; ``params`` initialises what is learned, ``pooling`` is what stochastic operators draw from.

    Raises:
        ValueError: a stride, window, padding or width that the operator does not have.
    """

    convolves: ClassVar[bool] = False  # True: it is itself the block's convolution, so placement does not apply
    default_window: ClassVar[int | str | None] = "stride"
    default_taps: ClassVar[int | None] = None  # None: it has no filter behind a convolution
    default_padding: ClassVar[str] = "SYMMETRIC"
    strides: ClassVar[tuple[int, ...] | None] = None  # per axis, those that its definition allows; None: any
    signed: ClassVar[bool] = True  # False: what it makes is never negative, whatever comes in

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        stride: PerAxis = 2,
        window: PerAxis | None = None,
        taps: int | None = None,
        padding: str | None = None,
        axes: int | None = None,
        rngs: nnx.Rngs | None = None,
    ):
        name = type(self).__name__
        padding = self.default_padding if padding is None else padding
        self._take(in_features, out_features, stride=stride, window=window, padding=padding, axes=axes)
        if taps is not None and self.default_taps is None:
            raise ValueError(f"{name} has no filter behind a convolution, got taps={taps!r}")
        if self.strides and not set(self.stride) <= set(self.strides):
            raise ValueError(f"{name}: stride must be one of {self.strides} on each axis, got {stride!r}")
        self.window = self._window(window)
        if self.default_taps is not None:
            (self.taps,) = per_axis(self.default_taps if taps is None else taps, 1, f"{name}: taps")
        check_rngs(rngs)
        self._build(rngs)

    def _window(self, window: PerAxis | None) -> tuple[int, ...]:
        if window is not None:
            return self._sizes(window)
        if isinstance(self.default_window, int):
            return self._sizes(self.default_window)
        return self.stride  # as large as the stride, or no window at all

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Create what the operator learns, and the layers that it is made of."""

    def __call__(
        self, x: Array, *, train: bool | None = None, key: Array | None = None, index: Array | None = None
    ) -> Array:
        """Downsample ``x``.

        Args:
            x: ``[batch, *spatial, in_features]``.
            train: training behaviour, where it differs; None follows the module's own ``.train()`` and ``.eval()``.
            key: randomness, for stochastic operators in training; None draws from the module's own stream.
            index: what `select` chose, for adaptive operators; None lets them choose here.

        Returns:
            ``[batch, *ceil(spatial / s), out_features]``.

        Raises:
            ValueError: an input of another shape.
        """
        return self._at_stride(self._checked(x), self.stride)

    @property
    def constant_gain(self) -> float:
        """What it makes of a map of ones away from the border, as it is built: 1 of a mean, a maximum, a pixel."""
        return 1.0

    def _at_stride(self, x: Array, stride: tuple[int, ...]) -> Array:
        """Return the operator's output read at every ``stride``-th position, with the padding of its own stride."""
        raise TypeError(f"{type(self).__name__} is not a filter followed by subsampling")

    def dense(self, x: Array) -> Array:
        """Return the full-resolution map that the operator subsamples: ``dense(x)[:, ::s, ::s]`` is its output.

        Raises:
            TypeError: the operator is not a filter followed by subsampling.
        """
        return self._at_stride(self._checked(x), (1,) * len(self.stride))

    def select(self, x: Array, *, train: bool | None = None, key: Array | None = None) -> Array | None:
        """Return the phase ``[batch]`` that an adaptive operator keeps of each sample, None for all others.

        One that mixes phases in training returns their weights, ``[batch, phases]``, there.
        """
        return None

    def _window_on(self, map_size: Sequence[int]) -> Window:
        """Return the operator's window on a map, padded for the operator's own stride.

        Every window gives ``ceil(n / s)`` outputs, an even one under ``SYMMETRIC`` too; see `geometry.centred`.
        """
        padding = centred(self.padding, self.window)
        return make_window(map_size, self.window, stride=self.stride, padding=padding)

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return the operator's passes over a map of ``map_size``, for shapes, receptive fields and costs."""
        return (WindowPass(window=self._window_on(map_size), features=self.in_features),)

    def phase(self, map_size: Sequence[int]) -> tuple[float, ...] | None:
        """Return where output 0 is centred, in pixels of a map of ``map_size``; None if that depends on the image."""
        return tuple(field.start for field in receptive_fields(self.passes(map_size)))


def layer_axes(name: str, axes: int | None, stride: object, window: object) -> int:
    """Return ``axes``, or as many as ``stride`` or ``window`` has entries, or two."""
    if axes is not None:
        if not is_int(axes) or axes not in (1, 2, 3):
            raise ValueError(f"{name}: axes must be 1, 2 or 3, got {axes!r}")
        return axes
    for given in (stride, window):
        if isinstance(given, Sequence) and not isinstance(given, str) and len(given) in (1, 2, 3):
            return len(given)
    return 2


def streams(layer: nnx.Module, rngs: nnx.Rngs | None) -> nnx.Rngs:
    """Return the random streams of a layer that has initial values to draw.

    Raises:
        ValueError: there are none.
    """
    if not isinstance(rngs, nnx.Rngs):
        raise ValueError(f"{type(layer).__name__} draws initial values: it needs rngs=nnx.Rngs(seed), got {rngs!r}")
    return rngs


def check_rngs(rngs: nnx.Rngs | None) -> None:
    """Raise ValueError unless these are random streams of Flax, or none."""
    if not isinstance(rngs, nnx.Rngs | None):
        raise ValueError(f"rngs must be flax.nnx.Rngs(seed) or None, got {rngs!r}")


class Stochastic(Downsample):
    """A downsampling layer that draws at random in training and not in evaluation.

    It follows ``.train()`` and ``.eval()`` and keeps a stream of keys as `flax.nnx.Dropout` does, but it starts in evaluation.
    The stream is ``pooling`` of ``rngs``, or their default.
    """

    def _build(self, rngs: nnx.Rngs | None) -> None:
        """Start in evaluation, with a stream of keys if ``rngs`` have one."""
        self.deterministic = True
        if rngs is not None and ("pooling" in rngs or "default" in rngs):
            self.rngs: nnx.RngStream | None = rngs["pooling"].fork()
        else:
            self.rngs = nnx.data(None)

    def _key(self, train: bool | None, key: Array | None) -> Array | None:
        """Return the key to draw with, or None in evaluation.

        Raises:
            ValueError: training without a key and without a stream.
        """
        if self.deterministic if train is None else not train:
            return None
        if key is not None:
            return key
        if self.rngs is None:
            raise ValueError(
                f"{type(self).__name__} needs a key in training, got None; pass key=jax.random.key(seed) or build it with "
                "rngs=nnx.Rngs(seed)"
            )
        return self.rngs()


class Chain(Downsample):
    """A downsampling layer that is itself a chain of layers, one after the other."""

    def _layers(self) -> tuple[Downsample, ...]:
        """Return the layers in the order in which they are applied."""
        return ()

    def passes(self, map_size: Sequence[int]) -> tuple[WindowPass, ...]:
        """Return the passes of all layers, each on the map that the one before it leaves."""
        found: list[WindowPass] = []
        for layer in self._layers():
            for one in layer.passes(map_size):
                found.append(one)
                map_size = one.output_size(map_size)
        return tuple(found)
