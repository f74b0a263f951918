"""A strided convolution of somebody's network, with an operator before or behind it.

It remains the same object, a `flax.nnx.Conv` with its weights under the same names. Only where it is evaluated changes,
with the padding that it has at its stride, so that every ``stride``-th value of the dense map is the old output.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array, lax

from strideflax.kernels.padding import pad_border, take_every
from strideflax.operators.base import Downsample, Stochastic
from strideflax.operators.geometry import BORDERS, per_axis
from strideflax.operators.strided import he_normal
from strideflax.tracing.holders import modules
from strideflax.window import Window, extent


@dataclass(frozen=True)
class StrideOne:
    """Stands for a convolution function: convolves at stride 1, with the padding that the layer has at its own stride.

    Attributes:
        convolve: the function, called as `jax.lax.conv_general_dilated`.
        padding: another padding instead, None for the layer's.
        at_own_stride: pad as the layer does at its stride; False pads as it would at stride 1.
    """

    convolve: Callable[..., Array]
    padding: str | None = None
    at_own_stride: bool = True

    def __call__(self, x: Array, kernel: Array, strides: Sequence[int], padding: Any, **options: Any) -> Array:
        """Convolve ``x``; arguments as `jax.lax.conv_general_dilated`."""
        if self.padding is not None:
            padding = self.padding
        elif isinstance(padding, str) and self.at_own_stride:
            size = extent(kernel.shape[:-2], options["rhs_dilation"])
            padding = lax.padtype_to_pads(x.shape[1:-1], size, strides, padding)
        return self.convolve(x, kernel, (1,) * len(strides), padding, **options)


class SampledConv(nnx.Conv):
    """A strided convolution whose stride an operator has taken over, in the attribute ``downsample``."""

    downsample: Downsample

    def _sampled(self, function: Callable[[Array], Array], x: Array) -> Array:
        """Apply ``function`` to ``x`` with one batch axis, whatever batch axes it has, as `flax.nnx.Conv` does."""
        axes = len(self.kernel_size) + 1
        batch = x.shape[:-axes]
        y = function(x.reshape(-1, *x.shape[-axes:]))
        return y.reshape(*batch, *y.shape[1:])


class ConvThenDownsample(SampledConv):
    """The convolution at every position, then the operator."""

    def __call__(self, inputs: Array, out_sharding: Any = None) -> Array:
        """Map ``[*batch, *spatial, in_features]`` to ``[*batch, *ceil(dense / stride), out_features]``."""
        return self._sampled(self.downsample, super().__call__(inputs, out_sharding))


class FilterThenConv(SampledConv):
    """The operator's filter at every position, then the strided convolution as it was."""

    def __call__(self, inputs: Array, out_sharding: Any = None) -> Array:
        """Map ``[*batch, *spatial, in_features]`` to what the strided convolution makes of it filtered."""
        return super().__call__(self._sampled(self._filtered, inputs), out_sharding)

    def _filtered(self, x: Array) -> Array:
        """Return ``x`` filtered, in its own size.

        An operator with an even window pads for its own stride, which leaves out the last positions. Where its border copies
        pixels, they are filtered in a map that is extended by them; else they are border, zeros.
        """
        y = self.downsample.dense(x)
        size = x.shape[1:-1]
        missing = tuple((0, max(n - m, 0)) for n, m in zip(size, y.shape[1:-1], strict=True))
        if not any(high for _, high in missing):
            return y
        border = BORDERS.get(self.downsample.padding, "zeros")
        if border == "zeros":
            return pad_border(y, missing)
        filters = [filtering.window.size for filtering in self.downsample.passes(size)]
        rims = tuple(max(taps) for taps in zip(*filters, strict=True))
        extended = self.downsample.dense(pad_border(x, tuple((rim, rim) for rim in rims), border))
        return take_every(extended, rims, size, (1,) * len(size))


class DownsampleThenConv(SampledConv):
    """The operator, then the convolution at every position of the small map, padded to the size that it had with its stride."""

    def __call__(self, inputs: Array, out_sharding: Any = None) -> Array:
        """Map ``[*batch, *spatial, in_features]`` to ``[*batch, *output_size, out_features]``."""
        small = self._sampled(self.downsample, inputs)
        if has_own_rule(self):  # its own rule gives ceil(n / s) at any stride
            return super().__call__(small, out_sharding)
        axes = len(self.kernel_size)
        window = conv_window(self, inputs.shape[-1 - axes : -1])
        pads = small_map_pads(window, inputs.shape[-1 - axes : -1], small.shape[-1 - axes : -1])
        config = [(0, 0, 0)] * (small.ndim - axes - 1) + [(*pair, 0) for pair in pads] + [(0, 0, 0)]
        return super().__call__(lax.pad(small, small.dtype.type(0), config), out_sharding)


def conv_window(conv: nnx.Conv, map_size: Sequence[int]) -> Window:
    """Return the window of a strided convolution layer on a map of ``map_size``, as Flax pads it."""
    axes = len(conv.kernel_size)
    strides, dilation = (per_axis(value or 1, axes, "strides") for value in (conv.strides, conv.kernel_dilation))
    size = extent(conv.kernel_size, dilation)
    padding, border = conv.padding, "zeros"
    if padding in ("CIRCULAR", "REFLECT"):
        pads: Any = [((k - 1) // 2, k // 2) for k in size]
        border = "wrap" if padding == "CIRCULAR" else "reflect"
    elif padding == "CAUSAL":
        pads = [(k - 1, 0) for k in size]
    elif isinstance(padding, str):
        pads = lax.padtype_to_pads(tuple(map_size), size, strides, padding)
    else:
        entries = (padding,) * axes if isinstance(padding, int) else padding
        pads = [(entry, entry) if isinstance(entry, int) else entry for entry in entries]
    return Window(
        size=tuple(conv.kernel_size),
        stride=strides,
        pads=tuple((int(low), int(high)) for low, high in pads),
        dilation=dilation,
        border=border,
    )


def has_own_rule(conv: nnx.Conv) -> bool:
    """Return whether the padding is a rule that gives ``ceil(n / s)`` outputs at any stride."""
    return isinstance(conv.padding, str) and conv.padding != "VALID"


def small_map_pads(window: Window, map_size: Sequence[int], small_size: Sequence[int]) -> list[tuple[int, int]]:
    """Return the pads, centred, with which the dense window makes of the small map as many pixels as ``window`` of the large.

    They are negative where the map has to be cropped.
    """
    pads = []
    for wanted, m, k_e in zip(window.output_size(map_size), small_size, window.extent, strict=True):
        total = wanted - m + k_e - 1
        pads.append((total // 2, total - total // 2))
    return pads


def window_start(window: Window) -> tuple[float, ...]:
    """Return where the first window is centred, in pixels of the map, ``(k_e - 1) / 2 - pad_low`` per axis."""
    return tuple((k_e - 1) / 2 - low for k_e, (low, _) in zip(window.extent, window.pads, strict=True))


def own_names(kind: type[nnx.Conv]) -> list[str]:
    """Return what a class of convolutions adds to `flax.nnx.Conv`, which it would lose by `install`, its ``__init__`` apart."""
    found = []
    for base in kind.__mro__[: kind.__mro__.index(nnx.Conv)]:
        for name, value in vars(base).items():
            is_special = name.startswith("__") and not callable(value)
            if not (is_special or name == "__init__" or name.startswith("_pytree__") or name == "_abc_impl"):
                found.append(name)
    return found


def is_stacked(model: nnx.Module) -> bool:
    """Return whether a convolution or a linear layer has weights of several, in axes before its own."""
    for _, module in modules(model):
        if isinstance(module, nnx.Conv) and module.kernel.ndim > len(module.kernel_size) + 2:
            return True
        if isinstance(module, nnx.Linear) and module.kernel.ndim > 2:
            return True
    return False


def kind_before(layer: Downsample) -> type[SampledConv]:
    """Return how a convolution has ``layer`` before it.

    A filter with a phase of its own goes over the large map, so that the weights see the grid that they were trained on. What
    chooses its phase, draws at random or changes the channels makes the map small first.
    """
    size = (16,) * len(layer.stride)
    if layer.out_features != layer.in_features or isinstance(layer, Stochastic) or layer.phase(size) is None:
        return DownsampleThenConv
    try:
        jax.eval_shape(layer.dense, jax.ShapeDtypeStruct((1, *size, layer.in_features), jnp.float32))
    except TypeError:
        return DownsampleThenConv
    return FilterThenConv


def install(conv: nnx.Conv, layer: Downsample, kind: type[SampledConv]) -> None:
    """Make ``conv`` a ``kind`` with the operator ``layer``; whoever holds the convolution holds the new one.

    So a shared convolution stays shared, and no path to its weights changes.
    """
    if not isinstance(conv, SampledConv):
        conv.class_before = type(conv)  # type: ignore[attr-defined]
    conv.__class__ = kind
    conv.downsample = layer  # type: ignore[attr-defined]
    if kind is ConvThenDownsample:
        conv.conv_general_dilated = StrideOne(conv.conv_general_dilated)
    elif kind is DownsampleThenConv:
        padding = None if has_own_rule(conv) else "VALID"
        conv.conv_general_dilated = StrideOne(conv.conv_general_dilated, padding=padding, at_own_stride=False)


def give_back_stride(conv: nnx.Conv) -> None:
    """Undo `install`."""
    if isinstance(conv.conv_general_dilated, StrideOne):
        conv.conv_general_dilated = conv.conv_general_dilated.convolve
    conv.__class__ = conv.class_before  # type: ignore[attr-defined]
    del conv.downsample, conv.class_before  # type: ignore[attr-defined]


def redraw(conv: nnx.Conv, in_features: int, rngs: nnx.Rngs | None) -> None:
    """Give ``conv`` new weights for ``in_features`` channels, normal with variance 2 / fan_in, and a bias of 0.

    Raises:
        ValueError: no ``rngs``.
    """
    if rngs is None:
        raise ValueError("a convolution's weights are drawn anew: that needs rngs=nnx.Rngs(seed), got None")
    dtype = conv.param_dtype
    shape = (*conv.kernel_size, in_features // conv.feature_group_count, conv.out_features)
    conv.in_features, conv.kernel_shape = in_features, shape
    conv.kernel = nnx.Param(he_normal(rngs.params(), shape, dtype))
    if conv.use_bias:
        conv.bias = nnx.Param(jnp.zeros((conv.out_features,), dtype))
