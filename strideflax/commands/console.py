"""What a person sees in a terminal: rich progress where there is one, plain lines elsewhere."""

import sys
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from strideflax.wording import counted

if TYPE_CHECKING:
    from strideflax.training import Plan


class Screen(Console):
    """A console that raises BrokenPipeError when nobody reads any more, for `strideflax.commands.endings` to answer."""

    def on_broken_pipe(self) -> None:
        """Go on with the error that is being handled."""
        raise


console = Screen(highlight=False, soft_wrap=True)


def say_loading(what: str = "JAX") -> None:
    """Tell a person at a terminal what takes long before a command's own first line: imports on a cold start."""
    if sys.stderr.isatty():
        Console(stderr=True).print(f"loading {what} ...", style="dim")


class TrainingProgress:
    """Shows a run: its plan, a bar of steps on a terminal, a line an epoch."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("  step"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("steps", total=None, speed="")
        self._last = (time.perf_counter(), 0)
        self._batch_size = 0

    def __enter__(self) -> "TrainingProgress":
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def plan(self, plan: "Plan") -> None:
        """Print what will run."""
        data = plan.dataset
        console.print(f"[bold]model[/]    {plan.model}")
        console.print(f"         {plan.params:,} parameters, {plan.macs / 1e6:,.1f} M MACs an image")
        console.print(
            f"[bold]data[/]     {data['name']} (fingerprint {data['fingerprint']}): {data['train_count']:,} train, "
            f"{data['val_count']:,} validation, {data['test_count']:,} test images, from {escape(data['source'])}"
        )
        console.print(f"[bold]device[/]   {plan.device}")
        console.print(
            f"[bold]run[/]      {counted(plan.epochs, 'epoch')}, {counted(plan.steps, 'step')} of "
            f"{counted(plan.batch_size, 'image')}, seed "
            f"{plan.seed}, config {plan.config_fingerprint}"
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
        val = "" if record["val_accuracy"] is None else f"   val accuracy {record['val_accuracy']:6.2%}"
        console.print(
            f"epoch {record['epoch']:3d}   loss {record['train_loss']:.4f}   train accuracy {record['train_accuracy']:6.2%}"
            f"{val}   {record['images_per_second']:,.0f} images/s"
        )

    def note(self, text: str) -> None:
        """Print a note."""
        console.print(text, style="yellow", markup=False)
