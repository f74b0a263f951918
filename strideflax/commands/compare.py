"""Say which operator is better on your images, with as many pairs of runs as it takes.

strideflax compare --config configs/stride2.py:quick --operators strided_conv,blur_pool,max_pool --minutes 10
"""

import argparse
import contextlib
import hashlib
import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.live import Live

from strideflax.commands.console import ImageBar, console, loading, print_entry, print_text
from strideflax.commands.parsing import add_config_argument, at_least_one, minutes
from strideflax.commands.sweep import status_table
from strideflax.wording import counted, duration

if TYPE_CHECKING:
    from strideflax.config import Config
    from strideflax.sweep.plan import SweepRun
    from strideflax.verdict.clock import Clock
    from strideflax.verdict.conduct import Progress
    from strideflax.verdict.images import StudyImages
    from strideflax.verdict.runner import Runner
    from strideflax.verdict.schedule import Schedule
    from strideflax.verdict.study import Study

NO_VALIDATION = "--config.data.val_count=0"  # no choice is made, so these images train too

SHORT_RUNS = (
    "Runs are short: more --minutes, a smaller network such as that of :narrow, or a smaller --config.data.size let them learn "
    "more."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_config_argument(parser)
    parser.add_argument(
        "--operators", required=True, metavar="NAME,NAME", help="what is compared, e.g. strided_conv,blur_pool,max_pool"
    )
    parser.add_argument(
        "--baseline",
        default="strided_conv",
        metavar="NAME",
        help="what the others are compared with (default: %(default)s)",
    )
    parser.add_argument(
        "--minutes", type=minutes, default=30.0, metavar="N",
        help="time for all of it, earlier calls of the same study included (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the study, which the same command goes on with (default: in runs/)",
    )
    parser.add_argument(
        "--workers", type=at_least_one, default=1, metavar="N", help="processes on this machine (default: %(default)s)"
    )


def main(args: argparse.Namespace) -> None:
    """Find the study or plan it, add pairs, and say what they showed."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # this process only looks; the workers compute
    with loading():
        from strideflax.config_file import config_path, read_config
        from strideflax.sweep import engines
        from strideflax.verdict.clock import Clock
        from strideflax.verdict.conduct import run_pairs
        from strideflax.verdict.images import read_images
        from strideflax.verdict.record import check_study_folder
        from strideflax.verdict.runner import Runner
        from strideflax.verdict.schedule import LEAST_STEPS
        from strideflax.verdict.study import Study, check_operators, check_task

    _refuse_operator(args)
    config = read_config(args.config, [NO_VALIDATION, *args.overrides])
    check_task(config)
    operators = check_operators(config, _names(args.operators), args.baseline)
    folder = args.out or _default_folder(args.config, config, operators)
    check_study_folder(folder)
    with ImageBar() as bar:
        images = read_images(config.data, bar)
    print_entry("images", _images_in_words(images))
    with _study_folder(folder):
        clock = Clock(folder, 60 * args.minutes)
        engine = partial(engines.local, workers=args.workers, config_file=str(config_path(args.config).absolute()))
        runner = Runner(engine, args.workers, args.config)
        study, schedule = _study(Study(config, operators, folder, images), runner, clock, args)
        print_entry("plan", _plan_in_words(schedule, clock))
        if schedule.steps < LEAST_STEPS:
            print_text(SHORT_RUNS, style="yellow")
        with Live(console=console, refresh_per_second=2, transient=True) as live:
            is_settled = run_pairs(study, runner, clock, schedule.pair_seconds, _progress(study, clock, live))
        _conclude(study, clock, is_settled)


def _names(text: str) -> list[str]:
    """Return the names in a list such as ``"strided_conv, max_pool"``."""
    return [name for word in text.split(",") if (name := word.strip())]


def _refuse_operator(args: argparse.Namespace) -> None:
    for word in args.overrides:
        if word.startswith("--config.model.downsample="):
            args.parser.error("--operators says which operators are compared; leave out --config.model.downsample")


def _default_folder(spec: str, config: "Config", operators: tuple[str, ...]) -> Path:
    """Return a folder of its own for each configuration, data folder and list of operators."""
    asked = f"{config.fingerprint} {config.data.dir} {' '.join(operators)}"
    name, _, variant = spec.partition(":")
    words = ["compare", Path(name).stem, *([variant] if variant else [])]
    return Path("runs") / f"{'-'.join(words)}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"


@contextlib.contextmanager
def _study_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out of the folder; remove it again if no study came about."""
    from strideflax.errors import UserError
    from strideflax.training.run_folder import InUseError, lock_folder
    from strideflax.verdict.record import forget_unplanned

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with lock_folder(folder):
            yield
    except InUseError:
        raise UserError(f"{folder} is in use by another process; wait for it or choose another --out") from None
    finally:
        forget_unplanned(folder)


def _study(asked: "Study", runner: "Runner", clock: "Clock", args: argparse.Namespace) -> "tuple[Study, Schedule]":
    """Return the study in the folder, or a new one, with its schedule."""
    from strideflax.verdict.planning import plan_study
    from strideflax.verdict.record import RECORD, read_study

    if (asked.folder / RECORD).exists():
        return read_study(asked)
    names = counted(len(asked.operators), "operator")
    console.print(f"timing the first steps of {names}, which compiles their programs ...", style="dim")
    keep_epochs = any(word.startswith("--config.epochs=") for word in args.overrides)
    return plan_study(asked, runner, clock, keep_epochs=keep_epochs)


def _images_in_words(images: "StudyImages") -> str:
    return (
        f"{images.count:,} of {counted(images.classes, 'class', 'classes')} ({images.name}): {images.train_count:,} to train, "
        f"{images.test_count:,} to test; from {images.source}"
    )


def _plan_in_words(schedule: "Schedule", clock: "Clock") -> str:
    return (
        f"about {counted(schedule.pairs, 'pair')} of {counted(schedule.epochs, 'epoch')} "
        f"({counted(schedule.steps, 'step')}), {duration(schedule.pair_seconds)} each; {duration(clock.left)} are left"
    )


def _progress(study: "Study", clock: "Clock", live: Live) -> "Progress":
    from strideflax.verdict.conduct import Progress
    from strideflax.verdict.sentences import standing_in_short

    def at_work(runs: "list[SweepRun]", in_hand: set[Path]) -> None:
        rows = max((console.height - 4) // 2, 1)
        live.update(status_table(runs, rows, f"at most {duration(clock.left)} left", in_hand))

    def round_ended() -> None:
        verdicts = study.verdicts()
        pairs = counted(max(study.pairs_run(operator) for operator in study.operators[1:]), "pair")
        print_entry(pairs, "; ".join(standing_in_short(verdict) for verdict in verdicts))

    return Progress(at_work, round_ended)


def _conclude(study: "Study", clock: "Clock", is_settled: bool) -> None:
    """Print the verdicts, and write the figure and the report."""
    with loading("pandas and matplotlib"):
        from strideflax.verdict.report import write_study_report
        from strideflax.verdict.sentences import footnote, sentence, time_is_up
        from strideflax.verdict.study import MOST_LOST_PAIRS

    verdicts = study.verdicts()
    for verdict in verdicts:
        print_text(sentence(verdict, study.images), style="bold")
    if any(verdict.learned and not math.isnan(verdict.standing.low) for verdict in verdicts):  # it shows an interval
        print_text(footnote(study.images, len(verdicts)))
    if not is_settled:
        print_text(time_is_up(study, clock.spent), style="yellow")
    if any(verdict.standing.pairs for verdict in verdicts):
        figure, page, *_ = write_study_report(study, verdicts)
        console.print(f"figure in {figure}; report in {page}", markup=False)
    if all(verdict.lost > MOST_LOST_PAIRS for verdict in verdicts):
        raise SystemExit(1)
