"""Run a grid of configurations: python -m strideflax sweep --config configs/ablation.py --out runs/ablation."""

import argparse
import os
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.live import Live
from rich.table import Table

from strideflax.commands.console import console
from strideflax.errors import UserError
from strideflax.sweep import engines
from strideflax.sweep.plan import FINISHED, RUNNING, SweepRun, estimate_seconds, plan_sweep, write_plan
from strideflax.training.run_folder import read_metrics, read_result
from strideflax.training.stop_signal import StopSignal

ENDED = (FINISHED, "failed", "diverged")
ROWS = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--config", required=True, metavar="FILE", help="a config file with sweep(), e.g. configs/ablation.py"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder of the run folders; finished runs are skipped"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes on this machine (default 1)")
    parser.add_argument(
        "--filter", action="append", default=[], metavar="FIELD=VALUE", help="run only what matches; repeatable"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would run and about how long, write nothing")
    parser.add_argument("--retry-failed", action="store_true", help="run again what failed or diverged")
    parser.add_argument("--engine", choices=("local", "ray", "slurm"), default="local")
    parser.add_argument("--address", metavar="HOST:PORT", help="of a Ray cluster (default: start one here)")
    parser.add_argument("--gpus", type=float, default=0, metavar="N", help="GPUs a run, for ray and slurm")
    parser.add_argument("--partition", help="Slurm's")


def main(args: argparse.Namespace) -> None:
    """Plan, show, run with a live table, and say what came of it."""
    if args.workers < 1:
        raise UserError(f"--workers must be at least 1, got {args.workers}")
    StopSignal()  # SIGTERM, like Ctrl-C, stops the workers after their step
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # this process only looks; the workers compute
    runs = plan_sweep(args.config, args.out, args.overrides, args.filter)
    counts = ", ".join(f"{n} {status}" for status, n in Counter(run.status for run in runs).items())
    duration = _duration(estimate_seconds(runs, args.workers))
    console.print(f"{len(runs)} runs ({counts}), about {duration} left on this device with --workers {args.workers}")
    if args.dry_run:
        console.print(table(runs, rows=len(runs)))
        return
    write_plan(runs)
    if args.retry_failed:
        for run in runs:
            if run.status in ENDED and run.status != FINISHED:
                (run.folder / "result.json").unlink()
    left = [run for run in runs if run.status not in (*ENDED, RUNNING)]
    if busy := [run for run in runs if run.status == RUNNING]:
        console.print(f"{len(busy)} runs are held by another process and left to it", style="yellow")
    if left:
        with Live(table(runs), console=console, refresh_per_second=2, transient=True) as live:
            _engine(args)([run.folder for run in left], lambda: live.update(table(runs)))
    console.print(table(runs, rows=len(runs)))
    failed = [run for run in runs if run.status in ENDED and run.status != FINISHED]
    for run in failed:
        console.print(
            f"{run.status}: {run.title}: {(read_result(run.folder) or {}).get('error', '')}", style="red", markup=False
        )
    console.print(f"results in {args.out}; next: python -m strideflax report {args.out}", markup=False)
    if failed:
        raise SystemExit(1)


def _engine(args: argparse.Namespace) -> engines.Engine:
    if args.engine == "ray":
        return partial(engines.ray, address=args.address, gpus=args.gpus)
    if args.engine == "slurm":
        return partial(engines.slurm, partition=args.partition, gpus=int(args.gpus))
    return partial(engines.local, workers=args.workers)


def table(runs: Sequence[SweepRun], rows: int = ROWS) -> Table:
    """Return the sweep as a table: what is running first, then what ended last; at most ``rows`` lines."""
    status = {run.folder: run.status for run in runs}
    shown = (
        sorted(runs, key=lambda run: (status[run.folder] != RUNNING, status[run.folder] not in ENDED))
        if len(runs) > rows
        else runs
    )
    grid = Table(caption=", ".join(f"{n} {name}" for name, n in Counter(status.values()).items()), box=None)
    for column in ("run", "status", "epoch", "val accuracy", "test accuracy"):
        grid.add_column(column, justify="left" if column in ("run", "status") else "right")
    for run in shown[:rows]:
        records, result = read_metrics(run.folder), read_result(run.folder) or {}
        last = records[-1] if records else {}
        grid.add_row(
            run.title,
            status[run.folder],
            f"{last['epoch']} of {run.config.epochs:g}" if last else "",
            _percent(last.get("val_accuracy")),
            _percent(result.get("test_accuracy")),
        )
    return grid


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
