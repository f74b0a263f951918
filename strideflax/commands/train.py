"""Train one configuration.

strideflax train --config configs/stride2.py
strideflax train --config configs/stride2.py:quick --config.model.downsample=max_pool --config.seed=1
"""

import argparse
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strideflax.commands.console import TrainingProgress, console, loading, print_text
from strideflax.commands.parsing import add_config_argument, add_fast_nondeterministic, at_least_one
from strideflax.errors import UserError

if TYPE_CHECKING:
    from strideflax.training import TrainingResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_config_argument(parser, "configs/stride2.py:quick")
    parser.add_argument(
        "--workdir", type=Path, help="run folder (default: runs/NAME-FINGERPRINT); an interrupted run resumes"
    )
    parser.add_argument(
        "--steps-per-dispatch",
        type=at_least_one,
        metavar="N",
        help="steps in one call of the device (default: 1 on a CPU, 20 elsewhere)",
    )
    add_fast_nondeterministic(parser)
    parser.add_argument("--tensorboard", action="store_true", help="also write TensorBoard events into the run folder")
    parser.add_argument("--wandb", metavar="PROJECT", help="also log to Weights & Biases")
    parser.add_argument(
        "--distributed",
        metavar="auto|HOST:PORT,COUNT,INDEX",
        help="train on several hosts: auto on a cluster that JAX knows, else the address, the number of processes, this one",
    )


def main(args: argparse.Namespace) -> None:
    """Train, and print the result and where it lies."""
    with loading():
        from strideflax.compile_cache import keep_compiled
        from strideflax.config_file import has_sweep, read_config
        from strideflax.process import StopSignal, be_fast
        from strideflax.training import Interrupted, train

    config = read_config(args.config, args.overrides)
    if has_sweep(args.config):
        line = (
            f"{args.config} is a sweep's; this trains the one run that the others change, strideflax sweep trains all"
        )
        console.print(line, style="yellow", markup=False)
    if args.distributed:
        _join(args.distributed)
    folder = args.workdir or Path("runs") / f"{_name(args.config)}-{config.fingerprint}"
    make_writers = _writers(args, config)
    if args.fast_nondeterministic:
        be_fast()
    keep_compiled(lambda line: console.print(line, style="yellow", markup=False))
    stop = StopSignal()
    try:
        with TrainingProgress() as progress:
            result = train(
                config, folder, progress=progress, make_writers=make_writers, should_stop=stop,
                steps_per_dispatch=args.steps_per_dispatch, config_file=args.config,
            )  # fmt: skip
    except Interrupted as interruption:
        console.print(str(interruption), style="yellow", markup=False)
        raise SystemExit(128 + stop.number) from None
    _print_result(result, folder)
    if result.status != "finished":
        raise SystemExit(1)


def _writers(args: argparse.Namespace, config: Any) -> Callable[[Path], list[Any]]:
    """Check that the writers can be had, before anything is written; return what makes them."""
    from strideflax.training.monitoring import TensorBoardWriter, WandbWriter, require_extra

    if args.tensorboard:
        require_extra("tensorboardX", "tensorboard")
    if args.wandb:
        _log_in(require_extra("wandb", "wandb"))

    def make(folder: Path) -> list[Any]:
        writers: list[Any] = []
        if args.tensorboard:
            writers.append(TensorBoardWriter(folder))
        if args.wandb:
            writers.append(WandbWriter(folder, args.wandb, config))
        return writers

    return make


def _log_in(wandb: Any) -> None:
    """Log in, which asks for a key in a terminal, and is not needed where nothing is sent (WANDB_MODE=offline)."""
    try:
        wandb.login()
    except Exception as error:  # no key, a wrong key, no network: wandb has an exception for each
        raise UserError(f"--wandb can't log in: {error}") from None


def _name(spec: str) -> str:
    path, _, arg = spec.partition(":")
    return f"{Path(path).stem}-{arg}" if arg else Path(path).stem


def _join(where: str) -> None:
    """Join the other processes of a run on several hosts."""
    if where == "auto":
        _initialize()
        return
    found = re.fullmatch(r"(?P<host>[^,]+):(?P<port>\d+),(?P<count>\d+),(?P<index>\d+)", where)
    if found is None:
        raise UserError(f"--distributed must be auto or HOST:PORT,COUNT,INDEX, got {where!r}")
    host, port, count, index = found["host"], int(found["port"]), int(found["count"]), int(found["index"])
    if not 1 <= port <= 65535:
        raise UserError(f"--distributed: the port must be from 1 to 65535, got {port}")
    if index >= count:
        raise UserError(f"--distributed: the index must be from 0 to {count - 1}, one less than the count, got {index}")
    _check_address(host, port, is_first=index == 0)
    print_text(f"process {index} of {count}: waiting for the others at {host}:{port} ...")
    _initialize(f"{host}:{port}", count, index)


def _check_address(host: str, port: int, *, is_first: bool) -> None:
    """Say at once what JAX would say after minutes: that the first process can't listen there, or there is no such host."""
    try:
        socket.getaddrinfo(host, port)
        if is_first:
            with socket.socket() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(("", port))
    except OSError as error:
        raise UserError(f"--distributed: {host}:{port} can't be used: {error.strerror}") from None


def _initialize(*where: Any) -> None:
    import jax

    try:
        jax.distributed.initialize(*where)
    except (ValueError, RuntimeError) as error:  # no cluster that JAX knows, nobody at the address
        raise UserError(f"--distributed can't join the other processes: {error}; give HOST:PORT,COUNT,INDEX") from None


def _balanced(result: "TrainingResult") -> str:
    """Return the balanced accuracy in brackets where the classes have different numbers of test images."""
    images = (result.test_by_class or {}).get("images", [])
    return f" (balanced {result.test_balanced_accuracy:.2%})" if len(set(images)) > 1 else ""


def _print_result(result: "TrainingResult", folder: Path) -> None:
    dataset = result.dataset or {}
    if result.status == "finished":
        mean_iou = "" if result.test_mean_iou is None else f"test mean IoU {result.test_mean_iou:.2%}, "
        print_text(
            f"{mean_iou}test accuracy {result.test_accuracy:.2%}{_balanced(result)}, loss {result.test_loss:.4f}, on "
            f"{dataset['test_count']:,} images of {dataset['name']}; {result.train_seconds:,.0f} s of "
            f"training at {result.images_per_second:,.0f} images/s, {result.compile_seconds:.1f} s of compilation"
        )
    else:
        console.print(f"{result.status}: {result.error}", style="red", markup=False)
    console.print(f"result in {folder / 'result.json'}", markup=False)
