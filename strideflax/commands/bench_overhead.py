"""Measure what a run costs besides its steps: its start, its loop, its memory."""

import argparse
import subprocess

from strideflax.commands.bench_options import add_one_config
from strideflax.commands.console import console, loading
from strideflax.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_one_config(parser)


def main(args: argparse.Namespace) -> None:
    """Measure the config's start, loop and memory, print and store them."""
    with loading():
        import numpy as np

        from strideflax.benchmark.overhead import STEPS, loop_seconds, memory_bytes, start_seconds
        from strideflax.compile_cache import keep_compiled
        from strideflax.config_file import read_config
        from strideflax.environment import describe_device, versions
        from strideflax.files import write_json

    spec = args.config
    config = read_config(spec, args.overrides)
    keep_compiled()
    console.print("compiling the training step ...", style="dim")
    planned, counted = memory_bytes(config)
    console.print(
        f"memory: {planned / 1e6:,.0f} MB planned by XLA, {counted / 1e6:,.0f} MB by count: {planned / counted:.2f}",
        markup=False,
    )
    loops = []
    for looped, apart in loop_seconds(config, rounds=args.rounds, steps=STEPS):
        loops.append(looped / apart)
        console.print(
            f"loop: {STEPS} steps in {looped:.2f} s, one by one in {apart:.2f} s: {loops[-1]:.3f}", markup=False
        )
    median = float(np.median(loops))
    console.print(f"loop over steps one by one: median {median:.3f}, n = {args.rounds}", markup=False)
    try:
        starts = [start_seconds(spec, args.overrides) for _ in range(args.rounds + 1)][1:]  # the first one compiles
    except subprocess.CalledProcessError as error:
        raise UserError(f"a process that does one step of {spec} ended with {error.returncode}") from None
    console.print(f"start: first step done after {', '.join(f'{s:.2f}' for s in starts)} s", markup=False)
    stored = {
        "config": config.to_dict(), "device": describe_device(), "versions": versions(), "rounds": args.rounds,
        "steps": STEPS, "planned_bytes": planned, "counted_bytes": counted,
        "loop_over_steps": loops, "loop_over_steps_median": median, "start_seconds": starts,
    }  # fmt: skip
    write_json(args.out, stored)
    console.print(f"stored in {args.out}", markup=False)
