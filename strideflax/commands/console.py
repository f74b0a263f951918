"""What a person sees in a terminal: rich progress where there is one, plain lines elsewhere."""

import contextlib
import os
import sys
import textwrap
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from strideflax.commands.endings import nothing_to_put_away
from strideflax.wording import counted

if TYPE_CHECKING:
    from strideflax.training import Plan


class Screen(Console):
    """A console that raises BrokenPipeError when nobody reads any more, for `strideflax.commands.endings` to answer."""

    def on_broken_pipe(self) -> None:
        """Go on with the error that is being handled."""
        raise


LABEL_COLUMNS = 12
ANY_WIDTH = 10_000
console = Screen(highlight=False, soft_wrap=True)


def table_width() -> int | None:
    """Return the columns of the terminal, or those of the variable COLUMNS; None where a table may be of any width."""
    return console.width if console.is_terminal or "COLUMNS" in os.environ else None


def text_width() -> int | None:
    """Return the columns of the terminal; None for a file or a pipe, where a sentence is one line."""
    return console.width if console.is_terminal else None


def columns_of(table: Table) -> int:
    """Return how many columns ``table`` takes if nothing of it is wrapped."""
    return Measurement.get(console, console.options.update(max_width=ANY_WIDTH), table).maximum


def fits(table: Table) -> bool:
    """Return whether ``table`` can be printed without wrapping anything."""
    return columns_of(table) <= (table_width() or ANY_WIDTH)


def print_table(table: Table) -> None:
    """Print ``table``; what does not fit is wrapped within its cells, never cut."""
    for column in table.columns:
        column.overflow = "fold"
    Screen(highlight=False, width=table_width() or columns_of(table)).print(table, crop=False)


def print_text(text: str, style: str = "", file_width: int | None = None) -> None:
    """Print prose, wrapped between words: by the terminal's columns, or by ``file_width`` in a file or a pipe."""
    Screen(highlight=False, width=text_width() or file_width or ANY_WIDTH).print(text, style=style, markup=False)


def print_entry(label: str, text: str) -> None:
    """Print ``text`` beside its ``label``, wrapped below itself in a terminal."""
    first, *rest = textwrap.wrap(text, (text_width() or ANY_WIDTH) - LABEL_COLUMNS, break_on_hyphens=False) or [""]
    console.print(f"[bold]{label:{LABEL_COLUMNS}}[/]{escape(first)}")
    for line in rest:
        console.print(" " * LABEL_COLUMNS + line, markup=False)


@contextlib.contextmanager
def loading(what: str = "JAX") -> Iterator[None]:
    """Tell a person at a terminal what takes long before a command's own first line: the imports in this context.

    They are within the functions that need them, so that ``--help`` answers without them.
    """
    if sys.stderr.isatty():
        Console(stderr=True).print(f"loading {what} ...", style="dim")
    with nothing_to_put_away():
        yield


class Bar(Progress):
    """Bars on a terminal, gone when they are stopped; elsewhere nothing, not even the empty line that Rich 13 ends one with."""

    def __init__(self, *columns: ProgressColumn):
        super().__init__(*columns, console=console, transient=True, disable=not console.is_terminal)

    def stop(self) -> None:
        """Take the bars away, and give the terminal its cursor back."""
        if not self.disable:
            super().stop()


class ImageBar:
    """Shows on a terminal how many image files are read; gone when all are."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` files are done."""
        if self._bar is None or what != self._what:
            columns = (TextColumn(f"  {what}"), BarColumn(bar_width=None), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Bar(*columns)
            self._what = what
            self._bar.add_task(what, total=total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, total=total)
        if done == total:
            self.close()

    def __enter__(self) -> "ImageBar":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class TrainingProgress:
    """Shows a run: its plan, a bar of steps on a terminal, a line per epoch."""

    def __init__(self) -> None:
        self._bar = Bar(
            TextColumn("  step"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
        )
        self._task = self._bar.add_task("steps", total=None, speed="")
        self._images = ImageBar()
        self._last = (time.perf_counter(), 0)
        self._batch_size = 0

    def __enter__(self) -> "TrainingProgress":
        return self

    def __exit__(self, *error: object) -> None:
        self._images.close()
        self._bar.stop()

    def images(self, what: str, done: int, total: int) -> None:
        """Move the bar of image files."""
        self._images(what, done, total)

    def plan(self, plan: "Plan") -> None:
        """Print what will run."""
        data = plan.dataset
        print_entry("model", plan.model)
        print_entry("", f"{counted(plan.params, 'parameter')}, {plan.macs / 1e6:,.1f} M MACs per image")
        print_entry(
            "data",
            f"{data['name']} (fingerprint {data['fingerprint']}): {data['train_count']:,} train, "
            f"{data['val_count']:,} validation, {data['test_count']:,} test images; {data['source']}",
        )
        print_entry("device", plan.device)
        print_entry(
            "run",
            f"{counted(plan.epochs, 'epoch')}, {counted(plan.steps, 'step')} of "
            f"{counted(plan.batch_size, 'image')}, seed {plan.seed}, config {plan.config_fingerprint}",
        )
        console.print("compiling ...", style="dim")
        self._batch_size = plan.batch_size

    def step(self, done: int, total: int) -> None:
        """Move the bar."""
        if not self._bar.live.is_started:
            self._bar.start()
            self._last = (time.perf_counter(), done)
        now, (then, before) = time.perf_counter(), self._last
        if now - then > 1:
            self._bar.update(self._task, speed=f"{(done - before) * self._batch_size / (now - then):,.0f} images/s")
            self._last = (now, done)
        self._bar.update(self._task, completed=done, total=total)

    def epoch(self, record: dict[str, Any]) -> None:
        """Print an epoch's line."""
        val = "" if record["val_accuracy"] is None else f"  val accuracy {record['val_accuracy']:6.2%}"
        if record.get("val_mean_iou") is not None:
            val += f"  val mean IoU {record['val_mean_iou']:6.2%}"
        print_text(
            f"epoch {record['epoch']:2d}  loss {record['train_loss']:.3f}  train accuracy {record['train_accuracy']:6.2%}"
            f"{val}  {record['images_per_second']:,.0f} images/s"
        )

    def note(self, text: str) -> None:
        """Print a note."""
        print_text(text, style="yellow")
