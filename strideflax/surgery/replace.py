"""Another operator wherever a network downsamples, in a network that somebody else wrote."""

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatch
from typing import Any, TypeAlias

from flax import nnx

from strideflax.operators.base import Downsample, check_rngs
from strideflax.operators.geometry import is_int
from strideflax.operators.table import Operator, operator_entry
from strideflax.surgery.change import Plan, change_site
from strideflax.surgery.convolutions import is_stacked
from strideflax.surgery.report import SurgeryReport, state_paths
from strideflax.surgery.site import Site
from strideflax.surgery.sites import find_sites
from strideflax.tracing.holders import check_module
from strideflax.tracing.recorder import ModelCall, call_model, trace

Where: TypeAlias = str | Sequence[str] | Callable[[Site], bool] | None


def replace_downsampling(
    model: nnx.Module,
    operator: str | type[Downsample],
    example: Any = None,
    *,
    call: ModelCall = call_model,
    where: Where = None,
    placement: str = "after",
    min_channels: int = 1,
    keep_weights: bool = True,
    window: int | None = None,
    padding: str | None = None,
    rngs: nnx.Rngs | None = None,
) -> tuple[nnx.Module, SurgeryReport]:
    """Return a copy of ``model`` that downsamples by ``operator``, and the report of what was replaced and what was not.

    A strided convolution is evaluated at every position with its old weights and its old padding, and the operator stands
    where its stride was ("after"): with ``"subsample"`` the network computes what it did. Or it keeps its stride, and sees a
    map that the operator's filter went over ("before", at the stride's cost). An operator that is no filter with a stride
    (spectral, space-to-depth, polyphase) then makes the map small, and the convolution runs densely on that. A 1 x 1
    convolution, as on a shortcut, has the operator before it in both cases: on a linear filter it makes no difference, and it
    is cheaper. A pool becomes the operator itself, in its place and with its output size.

    Args:
        model: any Flax NNX module, with weights or with shapes in place of them. It stays as it is.
        operator: a name of `strideflax.DOWNSAMPLERS`, or an operator of your own. ``"strided_conv"`` makes strided
            convolutions of pools, and takes the operators of an earlier surgery out again.
        example: an input, as for `downsampling_sites`; without one pools in functions cannot be seen, and nothing is checked.
        call: calls the model, where ``model(example)`` is not how.
        where: which sites: a pattern of their paths such as ``"layer[34]/*"``, several of them, or a function of a `Site`.
        placement: "after" or "before" the convolution.
        min_channels: sites with fewer input channels stay, e.g. those that see the image.
        keep_weights: False draws the replaced convolutions' weights anew.
        window: the operator's window or filter length, None for its own.
        padding: the operator's border, None for its own.
        rngs: Flax random streams, where weights are drawn.

    Raises:
        ValueError: an unknown operator or placement, ``where`` that matches nothing, an operator that is a convolution
            itself, or one that draws weights without ``rngs``.
        TypeError: a model that is no Flax NNX module.
    """
    check_module(model)
    check_rngs(rngs)
    if not is_int(min_channels) or min_channels < 0:
        raise ValueError(f"min_channels must be an int >= 0, got {min_channels!r}")
    plan = Plan(_entry(operator), placement, window, padding, keep_weights, rngs, is_stacked(model))
    old_paths = state_paths(model)
    new = nnx.clone(model)
    before = None if example is None else trace(new, example, call)
    sites = find_sites(new, before)
    chosen = _chosen(sites, where)
    _check_shortcuts(plan, sites, chosen)
    changes = []
    for site in sites:
        changes.append(change_site(new, site, plan, before, site.path in chosen, min_channels))
    after = None if example is None else trace(new, example, call)
    return new, SurgeryReport.of(changes, old_paths, state_paths(new), plan.redrawn, before, after)


def _entry(operator: str | type[Downsample]) -> Operator:
    """Return the operator's entry in the table, or one for a class of the user's.

    Raises:
        ValueError: an unknown name, or an operator that brings a convolution of its own.
    """
    if isinstance(operator, str):
        entry = operator_entry(operator)
    elif isinstance(operator, type) and issubclass(operator, Downsample):
        entry = Operator(operator)
    else:
        raise ValueError(f"operator must be a name of strideflax.DOWNSAMPLERS or a Downsample class, got {operator!r}")
    if entry.main.convolves and operator != "strided_conv":
        raise ValueError(
            f"{entry.main.__name__} brings a convolution of its own, where the network has one with weights; say "
            'max_pool (for conv_pool) or blur_pool (for conv_blur) with placement="after", or avg_pool with '
            "where=lambda site: site.is_projection (for resnet_d)"
        )
    return entry


def _chosen(sites: Sequence[Site], where: Where) -> set[str]:
    """Return the paths of the sites that ``where`` asks for."""
    if where is None:
        return {site.path for site in sites}
    if callable(where):
        return {site.path for site in sites if where(site)}
    patterns = [where] if isinstance(where, str) else where
    if not isinstance(patterns, Iterable) or not all(isinstance(pattern, str) for pattern in patterns):
        raise ValueError(f"where must be a pattern of paths, a list of them or a function of a site, got {where!r}")
    chosen = set()
    for pattern in patterns:
        found = {site.path for site in sites if fnmatch(site.path, pattern)}
        if not found:
            known = ", ".join(site.path for site in sites) or "none"
            raise ValueError(f"where={pattern!r} is no site; the sites are {known}")
        chosen |= found
    return chosen


def _check_shortcuts(plan: Plan, sites: Sequence[Site], chosen: set[str]) -> None:
    """Raise ValueError if an operator that chooses a phase would have to tell it to a shortcut."""
    if plan.entry.shortcut is None or plan.strides_by_convolution:
        return
    for projection in (site for site in sites if site.is_projection):
        beside = [site.path for site in sites if site.path in chosen and _share_a_block(site, projection)]
        if beside or projection.path in chosen:
            raise ValueError(
                f"{plan.name} chooses a phase per image, and the shortcut {projection.path} would have to take the same "
                "one, which cannot be arranged from outside the network; build it in, or leave the block out by where="
            )


def _share_a_block(site: Site, projection: Site) -> bool:
    """Return whether a site stands in the module that a projection is a part of, and may be added to it."""
    block = site.path.rpartition("/")[0]
    beside = projection.path.startswith(f"{block}/") if block else "/" not in projection.path
    if site.output is not None and projection.output is not None:
        beside &= site.output[1:-1] == projection.output[1:-1]
    return beside and site.path != projection.path
