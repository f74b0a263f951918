"""Run a grid of configurations.

strideflax sweep --config configs/ablation.py --out runs/ablation
strideflax sweep --config configs/ablation.py --out runs/ablation --filter downsample=max_pool --dry-run
strideflax sweep --config configs/ablation.py --out runs/ablation --minutes 12
"""

import argparse
import contextlib
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table

from strideflax.commands.console import console, loading, print_table
from strideflax.commands.endings import RUNS_ARE_LEFT
from strideflax.commands.parsing import add_fast_nondeterministic, at_least_one, minutes
from strideflax.process import be_fast
from strideflax.sweep.time_limit import TimeLimit
from strideflax.wording import counted, duration

if TYPE_CHECKING:
    from strideflax.sweep.engines import Engine
    from strideflax.sweep.estimate import TimeLeft
    from strideflax.sweep.plan import SweepRun
    from strideflax.sweep.pool import WorkerSlot

STARTING = "starting"
UNSUCCESSFUL = ("failed", "diverged")
ROWS = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--config", required=True, metavar="FILE", help="a config file with sweep(), e.g. configs/ablation.py"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder of the run folders; finished runs are skipped"
    )
    parser.add_argument(
        "--workers", type=at_least_one, default=1, metavar="N", help="processes on this machine (default: %(default)s)"
    )
    parser.add_argument(
        "--filter", action="append", default=[], metavar="FIELD=VALUE", help="run only what matches; repeatable"
    )
    parser.add_argument(
        "--minutes",
        type=minutes,
        metavar="N",
        help="stop within N minutes, with every run saved; the same command goes on (default: no limit)",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would run and about how long, write nothing")
    parser.add_argument("--retry-failed", action="store_true", help="run again what failed or diverged")
    add_fast_nondeterministic(parser)
    parser.add_argument("--engine", choices=("local", "ray", "slurm"), default="local")
    parser.add_argument("--address", metavar="HOST:PORT", help="of a Ray cluster (default: start one here)")
    parser.add_argument("--gpus", type=float, default=0, metavar="N", help="GPUs per group of runs, for ray and slurm")
    parser.add_argument(
        "--group",
        type=at_least_one,
        default=4,
        metavar="N",
        help="runs that share a process, for ray and slurm (default: %(default)s)",
    )
    parser.add_argument("--partition", help="Slurm's")


def main(args: argparse.Namespace) -> None:
    """Plan, show, run with a live table, and say what came of it."""
    limit = TimeLimit(60 * args.minutes) if args.minutes else TimeLimit()
    _check_options(args)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # this process only looks; the workers compute
    if args.fast_nondeterministic:
        be_fast()  # and the workers, which inherit it
    with _started_workers(args) as started:
        _sweep(args, limit, started)


@contextlib.contextmanager
def _started_workers(args: argparse.Namespace) -> "Iterator[list[WorkerSlot]]":
    """Start this machine's workers, which load JAX while this process does; end those that were not needed."""
    from strideflax.sweep.pool import WorkerSlot

    started: list[WorkerSlot] = []
    try:
        if args.engine == "local" and not args.dry_run:
            for _ in range(min(args.workers, os.cpu_count() or 1)):  # more would not load any sooner
                started.append(WorkerSlot())
                started[-1].start()
        yield started
    finally:
        for slot in started:
            slot.close()


def _sweep(args: argparse.Namespace, limit: TimeLimit, started: "Sequence[WorkerSlot]") -> None:
    with loading():
        from strideflax.sweep.estimate import TimeLeft
        from strideflax.sweep.plan import RUNNING, plan_sweep, write_plan
        from strideflax.training.result import FINISHED

    runs = plan_sweep(args.config, args.out, args.overrides, args.filter)
    console.print(f"estimating how long {counted(len(runs), 'run')} will take ...", style="dim")
    if args.retry_failed and not args.dry_run:
        _forget_unsuccessful(runs)
    time_left = TimeLeft(runs, args.workers)
    console.print(
        f"{counted(len(runs), 'run')} ({_counts([run.status for run in runs])}), about {duration(time_left.seconds())} "
        f"left on this device with --workers {args.workers}"
    )
    if args.dry_run:
        print_table(status_table(runs, rows=len(runs)))
        return
    write_plan(runs, args.config)
    busy = [run for run in runs if run.status == RUNNING]
    if busy:
        console.print(
            f"{counted(len(busy), 'run is', 'runs are')} held by another process and left to it", style="yellow"
        )
    left = [run for run in runs if run.status not in (FINISHED, RUNNING, *UNSUCCESSFUL)]
    if left:
        _run(left, runs, _engine(args, limit, started), time_left)
    _end(args.out, runs, limit, time_left)


def _end(out: Path, runs: "Sequence[SweepRun]", limit: TimeLimit, time_left: "TimeLeft") -> None:
    """Say what came of all runs; exit with `RUNS_ARE_LEFT` if the time is up before they are done, with 1 if one failed."""
    from strideflax.sweep.plan import STARTED, WAITING

    print_table(status_table(runs, rows=len(runs)))
    failed = [run for run in runs if run.status in UNSUCCESSFUL]
    for run in failed:
        console.print(f"{run.status}: {run.title}: {_error(run)}", style="red", markup=False)
    unfinished = [run for run in runs if run.status in (STARTED, WAITING)]
    if unfinished and limit.is_stopping:
        are_left = f"{counted(len(unfinished), 'run is', 'runs are')} left, about {duration(time_left.seconds())}"
        console.print(f"The time is up: {are_left}; the same command goes on.", style="yellow")
        raise SystemExit(RUNS_ARE_LEFT)
    console.print(f"results in {out}; next: strideflax report {out}", markup=False)
    if failed:
        raise SystemExit(1)


def _check_options(args: argparse.Namespace) -> None:
    """Refuse an option that the engine would not look at."""
    engines = {
        "workers": ("local",),
        "address": ("ray",),
        "gpus": ("ray", "slurm"),
        "group": ("ray", "slurm"),
        "partition": ("slurm",),
    }
    for option, those in engines.items():
        if getattr(args, option) != args.parser.get_default(option) and args.engine not in those:
            args.parser.error(f"--{option} goes with --engine {' or '.join(those)}")


def _forget_unsuccessful(runs: "Sequence[SweepRun]") -> None:
    for run in runs:
        if run.status in UNSUCCESSFUL:
            (run.folder / "result.json").unlink()


def _engine(args: argparse.Namespace, limit: TimeLimit, started: "Sequence[WorkerSlot]") -> "Engine":
    from strideflax.config_file import config_path
    from strideflax.sweep import engines

    config_file = str(config_path(args.config).absolute())
    if args.engine == "ray":
        options = {"address": args.address, "gpus": args.gpus, "group": args.group}
        return partial(engines.ray, config_file=config_file, limit=limit, **options)
    if args.engine == "slurm":
        options = {"partition": args.partition, "gpus": int(args.gpus), "group": args.group}
        return partial(engines.slurm, config_file=config_file, limit=limit, **options)
    return partial(engines.local, workers=args.workers, started=started, config_file=config_file, limit=limit)


def _run(left: "Sequence[SweepRun]", runs: "Sequence[SweepRun]", engine: "Engine", time_left: "TimeLeft") -> None:
    """Run what is ``left`` of ``runs``, with a live table of all on a terminal."""
    folders = [run.folder for run in left]
    if not console.is_terminal:
        engine(folders, lambda in_hand: None)
        return
    rows = min(ROWS, (console.height - 4) // 2)  # in a narrow terminal a run takes two lines
    start = "starting workers"
    with Live(status_table(runs, rows, start), console=console, refresh_per_second=2, transient=True) as live:

        def show(in_hand: set[Path]) -> None:
            is_running = any(run.status != "waiting" for run in left)
            note = f"about {duration(time_left.seconds())} left" if is_running else start
            live.update(status_table(runs, rows, note, in_hand))

        engine(folders, show)


def status_table(runs: "Sequence[SweepRun]", rows: int = ROWS, note: str = "", in_hand: Collection[Path] = ()) -> Table:
    """Return the sweep with its accuracies as a table of at most ``rows`` runs: what is running first, then what has ended.

    ``in_hand`` are the folders that workers have; a run among them that does not run yet is "starting".
    """
    from strideflax.sweep.plan import RUNNING, STARTED, WAITING
    from strideflax.training.result import FINISHED, read_result
    from strideflax.training.run_folder import read_metrics

    status = {run.folder: run.status for run in runs}
    for folder in in_hand:
        if status[folder] in (WAITING, STARTED):
            status[folder] = STARTING
    shown = list(runs)
    if len(runs) > rows:
        ended = (FINISHED, *UNSUCCESSFUL)
        shown.sort(key=lambda run: (status[run.folder] not in (RUNNING, STARTING), status[run.folder] not in ended))
    caption = _counts(list(status.values()))
    grid = Table(caption=f"{caption}; {note}" if note else caption, box=None)
    for column in ("run", "status"):
        grid.add_column(column)
    segments = any(run.config.task == "segment" for run in runs)
    score, words = ("mean_iou", "mean IoU") if segments else ("accuracy", "accuracy")
    for column in ("epoch", f"val {words}", f"test {words}"):
        grid.add_column(column, justify="right")
    for run in shown[:rows]:
        records, result = read_metrics(run.folder), read_result(run.folder)
        last = records[-1] if records else {}
        grid.add_row(
            run.title,
            status[run.folder],
            f"{last['epoch']} of {run.config.epochs:g}" if last else "",
            _percent(last.get(f"val_{score}")),
            _percent(getattr(result, f"test_{score}") if result else None),
        )
    return grid


def _counts(statuses: Sequence[str]) -> str:
    return ", ".join(f"{number} {status}" for status, number in Counter(statuses).items())


def _error(run: "SweepRun") -> str:
    from strideflax.training.result import read_result

    result = read_result(run.folder)
    return (result.error or "") if result else ""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
