"""The replacement at one site: what an operator becomes of a convolution, of a pool, of another operator, or why it cannot."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
from flax import nnx

from strideflax.errors import one_line
from strideflax.operators.base import Downsample
from strideflax.operators.table import Operator, operator_name
from strideflax.surgery.convolutions import (
    ConvThenDownsample,
    DownsampleThenConv,
    FilterThenConv,
    SampledConv,
    conv_window,
    give_back_stride,
    has_own_rule,
    install,
    is_stacked,
    kind_before,
    redraw,
    small_map_pads,
    window_start,
)
from strideflax.surgery.pool_replacement import PoolReplacement, crop_starts
from strideflax.surgery.pools import Pool, pool_of
from strideflax.surgery.report import Change, Shift
from strideflax.surgery.site import Site
from strideflax.surgery.sites import calls_of
from strideflax.tracing.holders import modules, places, substitute
from strideflax.tracing.recorder import Trace

PLACEMENTS = ("after", "before")
STACKED = "replace within the function that nnx.vmap maps"


class CannotReplaceError(ValueError):
    """A site that has to stay as it is; the message says why."""


@dataclass
class Plan:
    """What to put where.

    Attributes:
        is_stacked: the model holds weights of several layers in one, as `flax.nnx.vmap` over a constructor makes them; whether
            a pool beside them is one of several, nothing tells.
        redrawn: paths of modules whose weights are new.
    """

    entry: Operator
    placement: str
    window: int | None
    padding: str | None
    keep_weights: bool
    rngs: nnx.Rngs | None
    is_stacked: bool

    def __post_init__(self) -> None:
        if self.placement not in PLACEMENTS:
            raise ValueError(f"placement must be one of {', '.join(PLACEMENTS)}, got {self.placement!r}")
        if self.window is not None and self.entry.main.default_window is None:
            raise ValueError(f"{self.name} has no window to choose, got window={self.window!r}")
        self.redrawn: set[str] = set()

    @property
    def name(self) -> str:
        """The operator's name."""
        return operator_name(self.entry.main)

    @property
    def loses_signs(self) -> bool:
        """Whether its results are never negative."""
        return not self.entry.main.signed

    @property
    def strides_by_convolution(self) -> bool:
        """Whether convolutions have their stride back."""
        return self.entry.main.convolves

    def build(self, features: int, stride: tuple[int, ...], *, is_stacked: bool, shortcut: bool = False) -> Downsample:
        """Return the operator for a map of ``features`` channels; ``is_stacked``: where weights are those of several."""
        kind = self.entry.on_shortcut if shortcut else self.entry.main
        if kind.strides is not None and not set(stride) <= set(kind.strides):
            raise CannotReplaceError(f"{self.name} takes strides of {', '.join(map(str, kind.strides))}")
        options: dict[str, Any] = {"window": self.window} if kind.default_window is not None else {}
        layer = kind(features, stride=stride, padding=self.padding, axes=len(stride), rngs=self.rngs, **options)
        if is_stacked and jax.tree.leaves(nnx.state(layer)):
            raise CannotReplaceError(f"{self.name} has variables, and the model's are stacked: {STACKED}")
        return layer


def change_site(
    model: nnx.Module, site: Site, plan: Plan, traced: Trace | None, is_chosen: bool, min_channels: int
) -> Change:
    """Replace what stands at a site, or find out why it stays."""
    if not is_chosen:
        return Change(site=site, reason="not asked for")
    if site.obstacle:
        return Change(site=site, reason=site.obstacle)
    if site.in_features is not None and site.in_features < min_channels:
        return Change(site=site, reason=f"{site.in_features} channels, fewer than min_channels={min_channels}")
    module = dict(modules(model)).get(site.path)
    try:
        if isinstance(module, nnx.Conv):
            return _change_conv(module, site, plan, traced)
        if site.kind == plan.name and plan.window is None and plan.padding is None:
            return Change(site=site, reason=f"is {plan.name} already")
        if isinstance(module, Downsample):
            return _change_operator(model, module, site, plan, traced)
        return _change_pool(model, module, site, plan, traced)
    except CannotReplaceError as error:
        return Change(site=site, reason=str(error))


def _change_conv(conv: nnx.Conv, site: Site, plan: Plan, traced: Trace | None) -> Change:
    """Give a strided convolution an operator, or its own stride back."""
    before = conv.downsample if isinstance(conv, SampledConv) else None
    if before is not None and before.out_features != before.in_features:
        raise CannotReplaceError(f"its weights were drawn for {site.operator}")
    if plan.strides_by_convolution:
        if before is None:
            return Change(site=site, reason=f"is {plan.name} already")
        give_back_stride(conv)
        return Change(site=site, became=plan.name, scale=1 / before.constant_gain)
    after = plan.placement == "after" and not site.is_projection
    features = conv.out_features if after else conv.in_features
    stacked = is_stacked(conv)  # other layers of the model may be, as those that nnx.scan goes through
    layer = plan.build(features, site.stride, shortcut=site.is_projection, is_stacked=stacked)
    fits = layer.out_features == features
    if not fits and after:
        raise CannotReplaceError(
            f"{plan.name} makes {layer.out_features} of {features} channels, which does not fit what follows; with "
            'placement="before" the convolution is drawn anew'
        )
    if not fits and conv.feature_group_count > 1:
        raise CannotReplaceError(f"{plan.name} makes {layer.out_features} of {features} channels, and it has groups")
    kind = ConvThenDownsample if after else kind_before(layer)
    if kind is not ConvThenDownsample and site.is_projection and _is_unpadded(conv):
        kind = DownsampleThenConv  # the same values as with the filter on the large map
    redrawn = not fits or not plan.keep_weights
    if redrawn and stacked:
        raise CannotReplaceError(f"its weights would be drawn anew, and the model's are stacked: {STACKED}")
    _check_conv(conv, layer, kind, site, traced)
    shift = _conv_shift(conv, layer, site, kind)
    if before is not None:
        give_back_stride(conv)
    if redrawn:
        redraw(conv, conv.in_features if after else layer.out_features, plan.rngs)
        plan.redrawn.add(site.path)
    install(conv, layer, kind)
    return Change(
        site=site,
        became=plan.name,
        placement="after" if after else "before",
        redrawn=redrawn,
        shift=shift,
        scale=layer.constant_gain / (1.0 if before is None else before.constant_gain),
        loses_signs=plan.loses_signs,
    )


def _is_unpadded(conv: nnx.Conv) -> bool:
    """Return whether a 1 x 1 convolution looks at the map alone."""
    return not conv_window(conv, (1,) * len(conv.kernel_size)).is_padded


def _map_size(shape: Sequence[int], axes: int) -> tuple[int, ...]:
    """Return the spatial size of a channels-last shape with whatever batch axes."""
    return tuple(shape[-1 - axes : -1])


def _conv_shift(conv: nnx.Conv, layer: Downsample, site: Site, kind: type[SampledConv]) -> Shift:
    """Return how far the outputs' centres move, in pixels of the convolution's input."""
    if site.input is None:
        return None
    size = _map_size(site.input, len(site.stride))
    window = conv_window(conv, size)
    if kind is ConvThenDownsample:
        return layer.phase(window.at_stride_one().output_size(size))
    phase = layer.phase(size)
    if phase is None or kind is FilterThenConv:
        return phase
    small = [-(-n // s) for n, s in zip(size, window.stride, strict=True)]
    shift = []
    for axis, (low, _) in enumerate(small_map_pads(window, size, small)):
        centre = phase[axis] + window.stride[axis] * ((window.extent[axis] - 1) / 2 - low)
        shift.append(centre - window_start(window)[axis])
    return tuple(shift)


def _check_conv(conv: nnx.Conv, layer: Downsample, kind: type[SampledConv], site: Site, traced: Trace | None) -> None:
    """Raise CannotReplaceError if the operator does not take one of the maps that the convolution was called with."""
    axes = len(conv.kernel_size)
    for one in calls_of(site.path, traced):
        size = _map_size(one.input.shape, axes)
        if kind is ConvThenDownsample:
            size = conv_window(conv, size).at_stride_one().output_size(size)
        x = jax.ShapeDtypeStruct((1, *size, layer.in_features), one.input.dtype)
        made = _map_size(_try(layer.dense if kind is FilterThenConv else layer, x), axes)
        if kind is FilterThenConv:  # it pads what is filtered to the size of the map, but cuts nothing off
            made = tuple(max(pair) for pair in zip(made, size, strict=True))
            made = conv_window(conv, made).output_size(made)
        elif kind is DownsampleThenConv and not has_own_rule(conv):
            continue  # it pads or crops to the old size
        if made != _map_size(one.output.shape, axes):
            raise CannotReplaceError(
                f"it makes {one.output.shape} of {one.input.shape}, and with {type(layer).__name__} {made}"
            )


def _try(layer: Any, x: jax.ShapeDtypeStruct) -> tuple[int, ...]:
    """Return the shape of what ``layer`` makes of ``x``.

    Raises:
        CannotReplaceError: it cannot.
    """
    try:
        return jax.eval_shape(layer, x).shape
    except ValueError as error:
        raise CannotReplaceError(one_line(error)) from None


def _change_operator(model: nnx.Module, old: Downsample, site: Site, plan: Plan, traced: Trace | None) -> Change:
    """Put the operator in the place of another operator of strideflax."""
    if old is model:
        raise CannotReplaceError("it is the whole model: build the other operator in its place")
    layer = _fitting(plan, old.in_features, old.stride)
    shift: Shift = None
    for one in reversed(calls_of(site.path, traced)):
        _try(layer, one.input)
        size = one.input.shape[1:-1]
        shift = _difference(layer.phase(size), old.phase(size))
    substitute(model, old, layer)
    scale = layer.constant_gain / old.constant_gain
    return Change(site=site, became=plan.name, shift=shift, scale=scale, loses_signs=plan.loses_signs)


def _fitting(plan: Plan, features: int, stride: tuple[int, ...]) -> Downsample:
    """Return the operator, if as many channels go out as come in."""
    layer = plan.build(features, stride, is_stacked=plan.is_stacked)
    if layer.out_features != features:
        raise CannotReplaceError(f"{plan.name} makes {layer.out_features} of {features} channels, which does not fit")
    return layer


def _difference(new: Shift, old: Shift) -> Shift:
    return None if new is None or old is None else tuple(a - b for a, b in zip(new, old, strict=True))


def _change_pool(model: nnx.Module, module: nnx.Module | None, site: Site, plan: Plan, traced: Trace | None) -> Change:
    """Put operators, one for each number of channels that it is called with, in the place of a pool."""
    held = [place for place in places(model) if place.name == site.path]
    function = held[0].value if module is None else module
    pool_function = function.pool if isinstance(function, PoolReplacement) else function
    calls = calls_of(site.path, traced)
    channels = sorted({one.input.shape[-1] for one in calls})
    if isinstance(function, PoolReplacement) and not calls:
        channels = [int(name) for name in function.operators]
    layers = {features: _fitting(plan, features, site.stride) for features in channels}
    replacement = PoolReplacement(pool_function, layers)
    old_gain = 1.0
    if isinstance(function, PoolReplacement):
        old_gain = next(iter(function.operators.values())).constant_gain
    shift: Shift = None
    for one in reversed(calls):
        pool = pool_of(pool_function, one.input)
        shape = _try(replacement, one.input)
        if pool is None or not shape == pool.output == one.output.shape:
            raise CannotReplaceError(f"it makes {one.output.shape} of {one.input.shape}, and {plan.name} {shape}")
        shift = _pool_shift(pool, layers[one.input.shape[-1]], one.input.shape)
        if function is pool_function:
            old_gain = pool.constant_gain
    if module is None:
        held[0].put(replacement)
    else:
        substitute(model, module, replacement)
    scale = next(iter(layers.values())).constant_gain / old_gain
    return Change(site=site, became=plan.name, shift=shift, scale=scale, loses_signs=plan.loses_signs)


def _pool_shift(pool: Pool, layer: Downsample, shape: Sequence[int]) -> Shift:
    """Return how far the outputs' centres move, in pixels of the pool's input."""
    size = _map_size(shape, pool.window.axes)
    phase = layer.phase(size)
    if phase is None:
        return None
    starts = crop_starts(pool, layer, size)
    return _difference(tuple(p + start for p, start in zip(phase, starts, strict=True)), window_start(pool.window))
