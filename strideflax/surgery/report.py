"""What a surgery replaced, what it left and why, and where each weight of the network before stands after it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import jax
import numpy as np
from flax import nnx

from strideflax.surgery.site import INSIDE, Site
from strideflax.tracing.holders import path_name
from strideflax.tracing.recorder import Trace
from strideflax.tracing.table import Shown, TextTable, numbers_text
from strideflax.wording import quantity

Shift: TypeAlias = tuple[float, ...] | None  # per axis, in pixels
SCALE = "scale: a constant map comes out as many times as large as before; the weights behind it expect the old size."
SIGNS = "Nothing negative comes out of this operator: it is meant to stand behind a ReLU."
StatePath: TypeAlias = tuple[Any, ...]  # names of attributes and numbers in lists, from the model to a variable


@dataclass(frozen=True, kw_only=True)
class Change:
    """What became of a site.

    Attributes:
        site: as it was.
        became: the operator's name, "" if the site stays as it is.
        reason: why it stays.
        placement: "after" or "before" its convolution, "" for a pool.
        redrawn: the convolution's weights are new.
        shift: by how many pixels of its own input its outputs' centres move; None if that is not known without an example, or
            depends on the image.
        scale: what becomes of a constant map, over what became of it before: 2 doubles the features that the weights behind it
            were trained on. Away from the border, with what the operator learns as it is drawn.
        loses_signs: the operator's results are never negative.
        macs: multiply-adds of one image after, None without an example.
    """

    site: Site
    became: str = ""
    reason: str = ""
    placement: str = ""
    redrawn: bool = False
    shift: Shift = None
    scale: float = 1.0
    loses_signs: bool = False
    macs: int | None = None

    @property
    def changes_scale(self) -> bool:
        """Whether a constant map comes out in another size than before."""
        return not math.isclose(self.scale, 1, rel_tol=1e-5)

    @property
    def text(self) -> str:
        """What became of it in words, e.g. "blur_pool after"."""
        if not self.became:
            return f"stays: {self.site.words if self.reason == self.site.obstacle else self.reason}"
        scale = f"(scale × {self.scale:.3g})" if self.changes_scale else ""
        return " ".join(filter(None, (self.became, self.placement, "(new weights)" if self.redrawn else "", scale)))


@dataclass(frozen=True, kw_only=True)
class SurgeryReport(Shown):
    """The report of `replace_downsampling`; printed, and shown in a notebook, as a table.

    Attributes:
        changes: one per site, in order of computation.
        paths: for each variable of the network before, by its path, its path after; None if it is gone or drawn anew.
        added: paths of the variables that the network before did not have, or that were drawn anew.
        shapes: of the variables of the network before, by their paths.
        macs_before, macs_after: multiply-adds of one image, None without an example.
    """

    changes: tuple[Change, ...]
    paths: Mapping[StatePath, StatePath | None]
    added: tuple[StatePath, ...]
    shapes: Mapping[StatePath, tuple[int, ...]]
    macs_before: int | None = None
    macs_after: int | None = None

    @classmethod
    def of(
        cls,
        changes: Sequence[Change],
        old: Mapping[StatePath, tuple[int, ...]],
        new: Mapping[StatePath, tuple[int, ...]],
        redrawn: set[str],
        before: Trace | None,
        after: Trace | None,
    ) -> Self:
        """Return the report of ``changes`` from the variables before and after, ``state_paths``, and the traces."""
        paths: dict[StatePath, StatePath | None] = {}
        for path, shape in old.items():
            is_new = path_name(path[:-1]) in redrawn or new.get(path) != shape
            paths[path] = None if is_new else path
        added = tuple(path for path in new if paths.get(path) is None)
        report = cls(changes=tuple(changes), paths=paths, added=added, shapes=old)
        if before is None or after is None:
            return report
        with_macs = []
        for change in changes:
            macs = after.macs_within(change.site.path) if change.became else change.site.macs
            with_macs.append(replace(change, macs=macs))
        return replace(report, changes=tuple(with_macs), macs_before=before.macs, macs_after=after.macs)

    @property
    def replaced(self) -> tuple[Change, ...]:
        """The sites that became the operator."""
        return tuple(change for change in self.changes if change.became)

    @property
    def left(self) -> tuple[Change, ...]:
        """The sites that stay, each with its reason."""
        return tuple(change for change in self.changes if not change.became)

    def converted(self, state: Any) -> Any:
        """Return what ``state``, of the network before, holds for the network after: a checkpoint to swap and fine-tune.

        ::

            nnx.update(new_model, report.converted(checkpoint))

        Args:
            state: `flax.nnx.state` of the network before, or nested dicts of the same names, as `flax.nnx.to_pure_dict` makes;
                numbers of lists may be words, as in a file.

        Raises:
            ValueError: a variable that the network before did not have, or had in another shape.
        """
        known = {path_name(path): path for path in self.paths}
        flat = {}
        for given, value in _flat(state).items():
            name = path_name(given)
            if name not in known:
                raise ValueError(f"the network before has no {name}; it has {next(iter(known), 'no variables')}, ...")
            path = known[name]
            if np.shape(value) != self.shapes[path]:
                raise ValueError(f"{name} has shape {self.shapes[path]} in the network before, got {np.shape(value)}")
            new_path = self.paths[path]
            if new_path is not None:
                flat[new_path] = value
        return nnx.from_flat_state(flat)

    def table(self) -> TextTable:
        """Return the table that is printed."""
        table = TextTable(("site", "layer", "became", "shift", "MACs before", "after"), left=(0, 1, 2))
        for change in self.changes:
            site = change.site
            shift = numbers_text(change.shift) if change.shift is not None else ""
            table.add(site.path, site.layer, change.text, shift, quantity(site.macs or 0), quantity(change.macs or 0))
        if any(change.site.source for change in self.left):
            table.note(INSIDE)
        table.note(f"{len(self.replaced)} of {len(self.changes)} sites replaced; {len(self.added)} new variables")
        if any(change.changes_scale for change in self.replaced):
            table.note(SCALE)
        if any(change.loses_signs for change in self.replaced):
            table.note(SIGNS)
        if self.macs_before is not None and self.macs_after is not None:
            table.note(
                f"MACs of one image: {self.macs_before:,} before, {self.macs_after:,} after "
                f"({self.macs_after / max(self.macs_before, 1):.2f} times)"
            )
        return table


def state_paths(model: nnx.Module) -> dict[StatePath, tuple[int, ...]]:
    """Return the shape of every variable of ``model`` by its path."""
    return {path: leaf.shape for path, leaf in _flat(nnx.state(model)).items()}


def _flat(state: Any) -> dict[StatePath, Any]:
    """Return the variables of a state, or the arrays of nested dicts, by their paths."""
    found = {}
    leaves = jax.tree_util.tree_leaves_with_path(state, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable))
    for keys, leaf in leaves:
        found[tuple(getattr(key, "key", getattr(key, "idx", getattr(key, "name", None))) for key in keys)] = leaf
    return found
