"""Where any Flax NNX network downsamples, and what can be replaced there."""

from collections.abc import Iterator
from typing import Any

from flax import nnx

from strideflax.operators.base import Downsample
from strideflax.operators.geometry import per_axis
from strideflax.operators.table import operator_name
from strideflax.surgery.convolutions import SampledConv, conv_window, own_names, window_start
from strideflax.surgery.pool_replacement import PoolReplacement
from strideflax.surgery.pools import pool_of
from strideflax.surgery.site import DownsamplingSites, Site
from strideflax.tracing.holders import check_module, modules
from strideflax.tracing.recorder import Call, ModelCall, Trace, call_model, callables, scope_of, trace
from strideflax.tracing.steps import Step
from strideflax.window import Window

AXES = (1, 2, 3)


def downsampling_sites(model: nnx.Module, example: Any = None, *, call: ModelCall = call_model) -> DownsamplingSites:
    """List where ``model``, any Flax NNX module, makes maps smaller.

    Sites are strided `flax.nnx.Conv` layers, operators of strideflax, and, in the trace that an ``example`` allows, pools
    in attributes (a function, a `functools.partial`, a lambda in an `flax.nnx.Sequential`, a module of the user's) and
    functions inside a ``__call__``: `flax.nnx.max_pool`, `jax.lax.reduce_window`, a strided slice, a bare strided
    convolution. A function or module is a pool if its trace is one reduction over strided windows, at most divided as in
    a mean, and it learns nothing.

    Args:
        model: with weights, or with shapes in place of them.
        example: an input, an array or a `jax.ShapeDtypeStruct`, its first axis the batch; nothing is computed on it.
        call: calls the model, where ``model(example)`` is not how: ``lambda model, x: model(x, train=False)``.

    Returns:
        The sites in order of computation. Multiply-adds are of one image, as in `strideflax.inspect`.

    Raises:
        TypeError: a model that is no Flax NNX module.
    """
    check_module(model)
    return DownsamplingSites(find_sites(model, None if example is None else trace(model, example, call)))


def find_sites(model: nnx.Module, traced: Trace | None) -> list[Site]:
    """Return the sites of ``model``, in order of computation if there is a trace."""
    sites = [*_module_sites(model, traced)]
    if traced is None:
        return sites
    inner = tuple(f"{site.path}/" for site in sites)  # a function within a site is a part of it
    for place in callables(model):
        if not place.name.startswith(inner):
            sites += _pool_sites(place.name, place.value, traced)
    known = {scope_of(site.path) for site in sites}
    for step in traced.steps:
        if step.downsamples and not (known | traced.operators.keys()) & set(step.scopes):
            sites.append(_inner_site(step, traced))
    return sorted(sites, key=lambda site: _first_step(site, traced))


def _first_step(site: Site, traced: Trace) -> int:
    """Return the place of a site's first step in the trace, those that are not called last."""
    for place, step in enumerate(traced.steps):
        if step.source == site.source if site.source else scope_of(site.path) in step.scopes:
            return place
    return len(traced.steps)


def _module_sites(model: nnx.Module, traced: Trace | None) -> Iterator[Site]:
    """Yield the sites that are modules; what stands inside of one is a part of it."""
    within: list[str] = []
    for path, module in modules(model):
        if any(path.startswith(f"{outer}/") for outer in within):
            continue
        if isinstance(module, nnx.Conv):
            if max(per_axis(module.strides or 1, len(module.kernel_size), "strides")) > 1:
                within.append(path)
                yield _conv_site(path, module, traced)
        elif isinstance(module, Downsample):
            within.append(path)
            if max(module.stride) > 1:
                yield _operator_site(path, module, traced)
        elif isinstance(module, PoolReplacement):
            within.append(path)
            yield from _replaced_pool_sites(path, module, traced)
        elif traced is not None and module is not model:
            pools = _pool_sites(path, module, traced)
            within += [site.path for site in pools]
            yield from pools


def _conv_site(path: str, conv: nnx.Conv, traced: Trace | None) -> Site:
    axes = len(conv.kernel_size)
    called = calls_of(path, traced)
    size = called[0].input.shape[-1 - axes : -1] if called else None
    operator = getattr(conv, "downsample", None)
    return Site(
        path=path,
        kind="conv",
        operator="" if operator is None else operator_name(type(operator)),
        stride=per_axis(conv.strides or 1, axes, "strides"),
        window=conv.kernel_size,
        in_features=conv.in_features,
        start=window_start(conv_window(conv, size)) if size and not _conv_obstacle(conv) else None,
        obstacle=_conv_obstacle(conv),
        **_traced_fields(path, called, traced),
    )


def _conv_obstacle(conv: nnx.Conv) -> str:
    """Return what keeps a strided convolution from being replaced."""
    own = [] if isinstance(conv, SampledConv) else own_names(type(conv))
    if own:
        return f"{type(conv).__name__} would lose what it adds to nnx.Conv: {', '.join(own)}"
    if len(conv.kernel_size) not in AXES:
        return f"{len(conv.kernel_size)} spatial axes, and the operators take 1 to 3"
    if max(per_axis(conv.input_dilation or 1, len(conv.kernel_size), "input_dilation")) > 1:
        return "its input is dilated: it goes up as well"
    return ""


def _operator_site(path: str, operator: Downsample, traced: Trace | None) -> Site:
    called = calls_of(path, traced)
    name = type(operator).__name__
    return Site(
        path=path,
        kind=operator_name(type(operator)),
        stride=operator.stride,
        window=operator.window,
        in_features=operator.in_features,
        start=operator.phase(called[0].input.shape[1:-1]) if called else None,
        obstacle=f"{name} is a convolution itself: choose another where it is built" if operator.convolves else "",
        **_traced_fields(path, called, traced),
    )


def _replaced_pool_sites(path: str, module: PoolReplacement, traced: Trace | None) -> Iterator[Site]:
    """Yield the site of a pool that was replaced before; another operator can take its place."""
    operator = next(iter(module.operators.values()))
    called = calls_of(path, traced)
    yield Site(
        path=path,
        kind=operator_name(type(operator)),
        stride=operator.stride,
        window=operator.window,
        in_features=called[0].input.shape[-1] if called else None,
        **_traced_fields(path, called, traced),
    )


def _pool_sites(path: str, function: Any, traced: Trace) -> list[Site]:
    """Return the site of a function or module that is called and is a pool, [] if it is none."""
    called = calls_of(path, traced)
    pool = pool_of(function, called[0].input) if called else None
    if pool is None or pool.is_global():
        return []
    return [
        Site(
            path=path,
            kind=pool.kind,
            stride=pool.window.stride,
            window=pool.window.size,
            in_features=called[0].input.shape[-1],
            start=window_start(pool.window),
            obstacle="" if pool.window.axes in AXES else f"{pool.window.axes} spatial axes, and operators take 1 to 3",
            **_traced_fields(path, called, traced),
        )
    ]


def _inner_site(step: Step, traced: Trace) -> Site:
    """Return the site of a function inside of a ``__call__``."""
    window: Window = step.window  # type: ignore[assignment]
    return Site(
        path=traced.layer_of(step),
        kind=step.kind,
        stride=window.stride,
        window=window.size,
        in_features=step.input[-1],
        input=step.input,
        output=step.output,
        macs=step.macs // traced.images,
        start=window_start(window),
        obstacle="a function inside a __call__",
        source=step.source,
    )


def calls_of(path: str, traced: Trace | None) -> list[Call]:
    """Return the calls of the layer ``path``, none without a trace."""
    return [] if traced is None else traced.calls.get(path, [])


def _traced_fields(path: str, called: list[Call], traced: Trace | None) -> dict[str, Any]:
    """Return what the trace says of a site that is a layer."""
    if traced is None or not called:
        return {}
    return {
        "input": called[0].input.shape,
        "output": called[0].output.shape,
        "macs": traced.macs_within(path),
    }
