"""One place where a network downsamples, and all of them as a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from strideflax.tracing.table import Shown, TextTable, numbers_text, shape_text
from strideflax.wording import quantity

INSIDE = "A line of code: a function inside a call; only there can it be replaced."


@dataclass(frozen=True, kw_only=True)
class Site:
    """A place where a network makes a map smaller.

    Attributes:
        path: of the layer, e.g. "layer1/blocks/0/conv1"; of a function in a ``__call__``, the module that calls it.
        kind: "conv", "max_pool", "avg_pool", "slice", ..., or an operator's name.
        operator: the operator that an earlier surgery gave a convolution, "" if none.
        stride, window: per axis.
        in_features: channels that come in, None if only a trace could tell.
        input, output: shapes of the first call, None without an example or if the layer is not called.
        macs: multiply-adds of one image, of all calls; None without an example.
        start: where its first output is centred, in pixels of its own input, None without an example or if that depends on
            the image.
        obstacle: why it cannot be replaced from outside, "" if it can.
        source: where in the user's code a function in a ``__call__`` is called.
    """

    path: str
    kind: str
    stride: tuple[int, ...]
    window: tuple[int, ...]
    operator: str = ""
    in_features: int | None = None
    input: tuple[int, ...] | None = None
    output: tuple[int, ...] | None = None
    macs: int | None = None
    start: tuple[float, ...] | None = None
    obstacle: str = ""
    source: str = ""

    @property
    def layer(self) -> str:
        """What it is in words, e.g. "conv 3×3 /2"."""
        operator = f" with {self.operator}" if self.operator else ""
        return f"{self.kind} {shape_text(self.window)} /{numbers_text(self.stride)}{operator}"

    @property
    def words(self) -> str:
        """The obstacle in a table: a place in the code stands for a function there, see `INSIDE`."""
        return self.source or self.obstacle

    def map_text(self, shape: tuple[int, ...] | None) -> str:
        """Return a shape without its batch axes, "" for none."""
        return "" if shape is None else shape_text(shape[-1 - len(self.stride) :])

    @property
    def is_projection(self) -> bool:
        """Whether it is a 1 x 1 convolution, as on a shortcut."""
        return self.kind == "conv" and set(self.window) == {1}


class DownsamplingSites(Shown, Sequence[Site]):
    """The sites of a network, in order of computation; printed, and shown in a notebook, as a table."""

    def __init__(self, sites: Sequence[Site]):
        self._sites = tuple(sites)

    def __getitem__(self, index: Any) -> Any:
        """Return a site by its place, or by its path."""
        if isinstance(index, str):
            for site in self._sites:
                if site.path == index:
                    return site
            raise KeyError(f"no site {index!r}; there are {', '.join(site.path for site in self._sites) or 'none'}")
        return self._sites[index]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._sites)

    def __iter__(self) -> Iterator[Site]:
        """Go through the sites."""
        return iter(self._sites)

    def table(self) -> TextTable:
        """Return the table that is printed."""
        table = TextTable(("site", "layer", "input", "output", "MACs", "start", "can be replaced"), left=(0, 1, 6))
        for site in self._sites:
            table.add(
                site.path,
                site.layer,
                site.map_text(site.input),
                site.map_text(site.output),
                quantity(site.macs or 0),
                numbers_text(site.start) if site.start else "",
                f"no: {site.words}" if site.obstacle else "yes",
            )
        if any(site.source for site in self._sites):
            table.note(INSIDE)
        return table

    def __repr__(self) -> str:
        """Return the table as text, as a Python prompt shows it."""
        return str(self)
