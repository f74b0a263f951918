"""Tables as plain text and as HTML, of what the library returns to be looked at."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from html import escape

GAP = "  "


class TextTable:
    """Rows of words under names of columns.

    Args:
        columns: their names.
        left: places of the columns that are aligned on the left; the others hold numbers.
        title: a line above.
    """

    def __init__(self, columns: Sequence[str], *, left: Sequence[int] = (0,), title: str = ""):
        self.columns, self.left, self.title = tuple(columns), frozenset(left), title
        self.rows: list[tuple[str, ...]] = []
        self.notes: list[str] = []

    def add(self, *cells: str) -> None:
        """Add a row, one cell per column."""
        if len(cells) != len(self.columns):
            raise ValueError(f"a row of {', '.join(self.columns)} has {len(self.columns)} cells, got {len(cells)}")
        self.rows.append(cells)

    def note(self, text: str) -> None:
        """Add a line below."""
        self.notes.append(text)

    def __str__(self) -> str:
        """Return the table as lines of text."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        lines = [self.title] if self.title else []
        lines += [self._line(self.columns, widths), "-" * (sum(widths) + len(GAP) * (len(widths) - 1))]
        lines += [self._line(row, widths) for row in self.rows]
        return "\n".join([*lines, *self.notes])

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        padded = []
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            padded.append(cell.ljust(width) if place in self.left else cell.rjust(width))
        return GAP.join(padded).rstrip()

    def html(self) -> str:
        """Return the table as HTML."""
        lines = ["<table>", f"<caption>{escape(self.title)}</caption>"] if self.title else ["<table>"]
        lines.append(self._html_row(self.columns, "th"))
        lines += [self._html_row(row, "td") for row in self.rows]
        lines.append("</table>")
        return "\n".join(lines + [f"<p>{escape(note)}</p>" for note in self.notes])

    def _html_row(self, cells: Sequence[str], tag: str) -> str:
        found = []
        for place, cell in enumerate(cells):
            side = "left" if place in self.left else "right"
            found.append(f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>')
        return f"<tr>{''.join(found)}</tr>"


class Shown(ABC):
    """What is printed, and shown in a notebook, as its table."""

    @abstractmethod
    def table(self) -> TextTable:
        """Return the table that is printed."""

    def __str__(self) -> str:
        """Return the table as text."""
        return str(self.table())

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        return self.table().html()


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape in words: "32×32×3"."""
    return "×".join(map(str, shape))


def numbers_text(values: Sequence[float]) -> str:
    """Return one number where all agree, else all: "2", "2×1"."""
    shown = [f"{value:g}" for value in values]
    return shown[0] if len(set(shown)) == 1 else "×".join(shown)
