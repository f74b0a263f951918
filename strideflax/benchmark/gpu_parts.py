"""What `strideflax bench gpu` measures, in parts; each stores row after row, and leaves out those that are stored already.

``python -m strideflax.benchmark.gpu_parts PART FILE [--small]`` does one part. ``--small`` is the same program on so small a
setting that a CPU does it in a minute: to try it out before a card is lent.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from strideflax.benchmark.overhead import compile_step, start_seconds
from strideflax.benchmark.part_results import PartResults
from strideflax.benchmark.program_size import size_of
from strideflax.benchmark.ratios import measured_row, prepare_all
from strideflax.benchmark.remote import RemoteContender, process_environment
from strideflax.benchmark.workloads import Step, Workload, limits, off_the_path
from strideflax.config_file import read_config
from strideflax.errors import UserError
from strideflax.measuring.timing import planned_bytes
from strideflax.training.setup import prepare

CONFIGS = ("stride2", "maxpool", "avgpool", "blurpool")
DTYPES = ("float32", "bfloat16")
BATCHES = (128, 512, 2048)
ROUNDS = 3
TURN_SECONDS = 0.3
RECIPE_SEEDS = 3
RUNS = (
    ("stride2", "bfloat16"),
    ("stride2", "float32"),
    ("maxpool", "bfloat16"),
)  # of what is not timed for every config
# The images are drawn by code: a lent machine has no others, and no pixel changes the time of a step.
DRAWN = (
    "--config.data.name=shapes", "--config.data.train_count=4000", "--config.data.val_count=500",
    "--config.data.test_count=1000",
)  # fmt: skip
TINY = (
    "--config.model.widths=(4, 8, 8)", "--config.data.train_count=256", "--config.data.val_count=32",
    "--config.data.test_count=32", "--config.batch_size=32", "--config.eval_batch_size=32",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """How much is measured: all, or what a CPU does in a minute."""

    small: bool = False

    @property
    def configs(self) -> tuple[str, ...]:
        """Names of config files."""
        return CONFIGS[:2] if self.small else CONFIGS

    @property
    def batches(self) -> tuple[int, ...]:
        """Images per step."""
        return (8,) if self.small else BATCHES

    @property
    def runs(self) -> tuple[tuple[str, str], ...]:
        """Config files and types of what is not measured for all."""
        return RUNS[:1] if self.small else RUNS

    @property
    def together(self) -> int:
        """Workloads that are compiled side by side, each by processes of its own."""
        return 2 if self.small else 14

    def spec(self, name: str) -> str:
        """Return the config file of that name."""
        return f"configs/{name}.py"

    def overrides(self, dtype: str, epochs: float = 3.0) -> list[str]:
        """Return the words that fit a shipped config to such a machine."""
        words = [*DRAWN, f"--config.model.dtype={dtype}", f"--config.epochs={epochs}"]
        words += ["--config.optimizer.warmup_epochs=0.5"]
        return [*words, *TINY] if self.small else words


def missing_runs(results: PartResults, setting: Setting) -> Iterator[tuple[str, str, str]]:
    """Yield the row, the config and the type of each of the setting's runs that has no row yet."""
    for name, dtype in setting.runs:
        row = f"{name} {dtype}"
        if row not in results.rows:
            yield row, name, dtype


def starts(results: PartResults, setting: Setting) -> None:
    """From a new process to the end of its first step: with no kept program, then with one."""
    for row, name, dtype in missing_runs(results, setting):
        with TemporaryDirectory() as cache:
            os.environ["STRIDEFLAX_CACHE"] = cache
            spec, words = setting.spec(name), setting.overrides(dtype)
            results.add(row, {"empty_seconds": start_seconds(spec, words), "kept_seconds": start_seconds(spec, words)})


def same_bits(results: PartResults, setting: Setting) -> None:
    """Runs of one config, two that go through and one that is stopped and goes on, side by side: are their losses the same?"""
    for row, name, dtype in missing_runs(results, setting):
        with TemporaryDirectory() as folder:
            words = ["--config", setting.spec(name), *setting.overrides(dtype, epochs=3.0 if setting.small else 20.0)]
            run = {"first": Path(folder) / "1", "second": Path(folder) / "2", "stopped": Path(folder) / "3"}
            started = {which: _train(words, where) for which, where in run.items()}
            was_stopped = _stop_after_an_epoch(started["stopped"], run["stopped"])
            said = [_finish(process) for which, process in started.items() if which != "stopped"]
            said.append(_finish(_train(words, run["stopped"])))
            losses = {which: _losses(where) for which, where in run.items()}
            result = json.loads((run["first"] / "result.json").read_text())
        results.add(
            row,
            {
                "losses": losses,
                "pair_is_equal": losses["first"] == losses["second"],
                "resumed_is_equal": losses["first"] == losses["stopped"] if was_stopped else None,
                "deterministic": result.get("deterministic"),
                "lines_of_chatter": sum(text.count("elay kernel") for text in said),
            },
        )


def _train(words: Sequence[str], folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "strideflax", "train", *words, "--workdir", str(folder)]
    environment = process_environment() | {"STRIDEFLAX_CACHE": f"{folder}-cache"}  # each compiles for itself
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _stop_after_an_epoch(process: "subprocess.Popen[str]", folder: Path) -> bool:
    """Return whether the run was stopped before its end."""
    while process.poll() is None and not (folder / "metrics.jsonl").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    return process.returncode == 128 + signal.SIGTERM


def _finish(process: "subprocess.Popen[str]") -> str:
    """Return what a run wrote to standard error; a run that failed ends the part."""
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"a run ended with {process.returncode}: {said[-500:]}")
    return said


def _losses(folder: Path) -> list[float]:
    found = []
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        found += [record["train_loss"], record["val_loss"]]
    return [*found, json.loads((folder / "result.json").read_text())["test_loss"]]


def device_limits(results: PartResults, setting: Setting) -> None:
    """The most that the device computes and moves."""
    platform = "cpu" if setting.small else "gpu"
    measure_together(results, setting, limits(DTYPES, platform), ("auto", "torch"), seconds=TURN_SECONDS)


def program_sizes(results: PartResults, setting: Setting) -> None:
    """Kernels, bytes and branches of a training step, as compiled for this device."""
    for row, name, dtype in missing_runs(results, setting):
        start = time.perf_counter()
        step, _ = compile_step(prepare(read_config(setting.spec(name), setting.overrides(dtype))))
        size = size_of(step)
        seconds, planned = time.perf_counter() - start, planned_bytes(step.memory_analysis())
        counted = {"kernels": size.kernels, "bytes": size.bytes, "branches": size.branches}
        results.add(row, {**counted, "planned_bytes": planned, "seconds": seconds})


def steps_against_torch(results: PartResults, setting: Setting) -> None:
    """The training step of each shipped config against the two best modes of torch.compile."""
    for name in setting.configs:
        config = read_config(setting.spec(name), setting.overrides("float32"))
        steps: list[Workload] = []
        for dtype in DTYPES:
            for batch in setting.batches:
                steps.append(Step.of(name, replace(config, batch_size=batch), dtype=dtype))
        measure_together(results, setting, steps, ("auto", "torch_compile", "torch_graphs"), seconds=TURN_SECONDS)


def dispatches(results: PartResults, setting: Setting) -> None:
    """One step and twenty per call of the device, with the same bits each time and without."""
    config = read_config(setting.spec("stride2"), setting.overrides("bfloat16"))
    config = replace(config, batch_size=setting.batches[0])
    steps = [Step.of("stride2", config, dtype="bfloat16", steps=count) for count in (1, 20)]
    measure_together(results, setting, steps, ("auto", "fast"), seconds=TURN_SECONDS)


def shapes_off_the_path(results: PartResults, setting: Setting) -> None:
    """Convolutions for which XLA may leave its fast path: taps and phases against its own."""
    for dtype in DTYPES:
        calls: list[Workload] = []
        for call in off_the_path(dtype)[:: 4 if setting.small else 1]:
            if setting.small:
                call = replace(call, batch=2, in_features=2 * call.groups, out_features=2 * call.groups, size=8)
            calls.append(call)
        measure_together(results, setting, calls, ("auto", "lax"), seconds=0.2)


def recipe(results: PartResults, setting: Setting) -> None:
    """The net and recipe that are to reach 94 %: on CIFAR-10, or a moment of it on drawn images.

    Raises:
        UserError: nobody has said where CIFAR-10 is.
    """
    images = os.environ.get("CIFAR10_DIR")
    if setting.small:
        words = [
            *setting.overrides("bfloat16", epochs=1.0),
            "--config.model.stem.width=4",
            "--config.model.blocks=(0, 0, 1)",
        ]
    elif images:
        words = [f"--config.data.dir={images}"]
    else:
        raise UserError("the variable CIFAR10_DIR is not set; it must name the folder with CIFAR-10's images")
    for seed in range(1 if setting.small else RECIPE_SEEDS):
        if f"seed {seed}" in results.rows:
            continue
        with TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            _finish(_train(["--config", setting.spec("resnet9"), *words, f"--config.seed={seed}"], run))
            result = json.loads((run / "result.json").read_text())
        row = {name: result[name] for name in ("test_accuracy", "train_seconds", "compile_seconds", "epochs")}
        results.add(f"seed {seed}", row | {"images": result["config"]["data"]["name"]})


def measure_together(
    results: PartResults, setting: Setting, workloads: Sequence[Workload], names: Sequence[str], *, seconds: float
) -> None:
    """Store a row for each workload: all are compiled side by side, as that takes longest, and then measured one by one."""
    missing = [workload for workload in workloads if workload.name not in results.rows]
    for start in range(0, len(missing), setting.together):
        group = missing[start : start + setting.together]
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            contenders = []
            for _ in group:
                contenders.append({name: stack.enter_context(RemoteContender(name, _FEW_THREADS)) for name in names})
            threads = stack.enter_context(ThreadPoolExecutor(len(group) * len(names)))
            places = [folder / f"{number}.npz" for number in range(len(group))]
            prepared = list(threads.map(partial(_prepare_together, threads), contenders, group, places))
            if names[0] in prepared[0][0]:
                results.describe(contenders[0][names[0]].ask(do="describe"))
            for own, workload, (ready, failed) in zip(contenders, group, prepared, strict=True):
                results.add(workload.name, measured_row(own, workload, ROUNDS, ready, failed, seconds))
                for contender in own.values():
                    contender.close()


# Each compiles beside many others.
_FEW_THREADS = {"TORCHINDUCTOR_COMPILE_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _prepare_together(
    threads: ThreadPoolExecutor, contenders: dict[str, RemoteContender], workload: Workload, weights: Path
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """As `prepare_all`, with the rivals at one time, once strideflax has stored the weights that they start from."""
    first, *rivals = contenders
    ready, failed = prepare_all({first: contenders[first]}, workload, weights)
    for answers, errors in threads.map(lambda name: prepare_all({name: contenders[name]}, workload, weights), rivals):
        ready |= answers
        failed |= errors
    return ready, failed


PARTS: dict[str, Callable[[PartResults, Setting], None]] = {
    "starts": starts,
    "same_bits": same_bits,
    "limits": device_limits,
    "steps": steps_against_torch,
    "sizes": program_sizes,
    "dispatches": dispatches,
    "shapes": shapes_off_the_path,
    "recipe": recipe,
}


def main(name: str, path: str, *flags: str) -> None:
    """Do what is left of a part; a mistake of the user's is the last line on standard error, and the exit status 2."""
    results = PartResults(Path(path))
    if results.is_done:
        return
    try:
        PARTS[name](results, Setting(small="--small" in flags))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
    results.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
