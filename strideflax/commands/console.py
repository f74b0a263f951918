"""What a person sees in a terminal: rich progress where there is one, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from strideflax.errors import UserError
from strideflax.training.stop_signal import StoppedAtOnce

console = Console(highlight=False, soft_wrap=True)


def answer_mistakes(run: Callable[[], None]) -> None:
    """Call ``run``; a mistake or a disk's trouble prints one line and exits with 2, an interruption with 130 or 143."""
    try:
        run()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:  # a full disk, a read-only folder
        where = f": {error.filename}" if error.filename else ""
        print(f"error: {error.strerror or ' '.join(str(error).split())}{where}", file=sys.stderr)
        raise SystemExit(2) from None
    except (KeyboardInterrupt, StoppedAtOnce) as stop:
        print("interrupted", file=sys.stderr)
        raise SystemExit(getattr(stop, "exit_code", 130)) from None


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

    def plan(self, plan: dict[str, Any]) -> None:
        """Print what will run."""
        data = plan["dataset"]
        console.print(f"[bold]model[/]    {plan['model']}")
        console.print(f"         {plan['params']:,} parameters, {plan['macs'] / 1e6:,.1f} M MACs an image")
        console.print(
            f"[bold]data[/]     {data['name']} (fingerprint {data['fingerprint']}): {data['train_count']:,} train, "
            f"{data['val_count']:,} validation, {data['test_count']:,} test images, from {escape(data['source'])}"
        )
        console.print(f"[bold]device[/]   {plan['device']}")
        console.print(
            f"[bold]run[/]      {plan['epochs']:g} epochs, {plan['steps']:,} steps of {plan['batch_size']} images, seed "
            f"{plan['seed']}, config {plan['config_fingerprint']}"
        )
        console.print("compiling ...", style="dim")
        self._batch_size = plan["batch_size"]

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
