#!/usr/bin/env python3
"""Compare the bits of short runs between two checkouts of this repository: weights, statistics, metrics, fingerprints.

python tests/compare_bits.py OLD_CHECKOUT NEW_CHECKOUT FOLDER [--operators max_pool,blur_pool]

A change of structure must not change a result. Each checkout trains `:quick` runs of the shipped configs and a short run of
each operator into its own part of FOLDER; what is there already is kept, so that the old one runs once. A run that the old
checkout began and was stopped in is resumed by the new one, and compared with the whole run.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp

from strideflax import DOWNSAMPLERS

CONFIGS = ("stride2", "maxpool", "avgpool", "blurpool")
TIMES = ("seconds", "images_per_second", "compile_seconds", "train_seconds")
SHORT = ("--config.epochs=0.6", "--config.model.widths=(8, 16, 16)")


def runs(operators: list[str]) -> dict[str, list[str]]:
    """Return the arguments of train.py for each run, by the run's name."""
    found = {f"{name}-quick": ["--config", f"configs/{name}.py:quick"] for name in CONFIGS}
    found["narrow"] = ["--config", "configs/stride2.py:quick", *SHORT, "--config.model.dtype=bfloat16"]
    short = ["--config", "configs/stride2.py:quick", *SHORT]
    for operator in operators:
        found[operator] = [*short, f"--config.model.downsample={operator}"]
    found["stem-pool"] = [
        *short,
        "--config.model.downsample=max_pool",
        "--config.model.stem.pool=max_pool",
        "--config.model.window=3",
    ]
    found["before"] = [
        *short,
        "--config.model.downsample=blur_pool",
        "--config.model.placement=before",
        "--config.model.padding=SAME",
    ]
    found["added"] = [
        *short,
        "--config.model.downsample=strided_conv",
        "--config.model.placement=added",
        "--config.model.residual=False",
    ]
    found["wide-blur"] = [
        *short,
        "--config.model.downsample=blur_pool",
        "--config.model.window=5",
        "--config.model.padding=CIRCULAR",
    ]
    found["adamw"] = [
        *short,
        "--config.model.downsample=strided_conv",
        "--config.optimizer.name=adamw",
        "--config.optimizer.learning_rate=0.01",
    ]
    return found


def train(checkout: Path, arguments: list[str], folder: Path, *, stop_at: str | None = None) -> None:
    """Run the checkout's train.py into ``folder``; with ``stop_at``, until that file is there and then SIGTERM."""
    command = [sys.executable, "train.py", *arguments, "--workdir", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "JAX_PLATFORMS": "cpu"}
    child = subprocess.Popen(command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if stop_at is not None:
        while child.poll() is None and not (folder / stop_at).exists():
            time.sleep(0.02)
        child.send_signal(signal.SIGTERM)
    _, error = child.communicate()
    if child.returncode != (0 if stop_at is None else 143):
        raise SystemExit(f"{' '.join(command)} in {checkout} ended with {child.returncode}: {error.decode()[-2000:]}")


def bits(folder: Path) -> dict[str, object]:
    """Return what a run left, as plain values that are equal if and only if the bits are."""
    steps = sorted(int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdecimal())
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as files:
        state = files.restore((folder / "checkpoints" / str(steps[-1]) / "state").absolute())
    digests = {}

    def walk(tree: object, path: str) -> None:
        items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list | tuple) else None
        if items is None:
            array = np.asarray(tree)
            digests[path] = f"{array.dtype}{list(array.shape)} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"
            return
        for name, entry in items:
            walk(entry, f"{path}/{name}")

    walk(state, "")
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    result = json.loads((folder / "result.json").read_text())
    kept = ("status", "test_accuracy", "test_loss", "val_loss", "train_loss", "params", "macs", "steps")
    return {
        "state": digests,
        "metrics": [{name: value for name, value in line.items() if name not in TIMES} for line in metrics],
        "result": {name: result.get(name) for name in kept},
        "fingerprints": [result["config_fingerprint"], result["dataset"]["fingerprint"]],
    }


def differences(old: object, new: object, path: str = "") -> list[str]:
    """Return one line for each value that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted(set(old) | set(new), key=str)
        return [line for name in names for line in differences(old.get(name), new.get(name), f"{path}/{name}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line for i, pair in enumerate(zip(old, new, strict=True)) for line in differences(*pair, f"{path}[{i}]")
        ]
    return [] if old == new else [f"{path}: {old} is now {new}"]


def main() -> None:
    """Train with both checkouts and compare; exit with 1 if a bit differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--operators", default=",".join(DOWNSAMPLERS))
    parser.add_argument("--record", action="store_true", help="only run the old checkout")
    args = parser.parse_args()
    failed = 0
    for name, arguments in runs(args.operators.split(",")).items():
        old, begun, new = (args.folder / part / name for part in ("old", "begun", "new"))
        if not (old / "result.json").exists():
            train(args.old.resolve(), arguments, old.resolve())
        if name.endswith("-quick") and not begun.exists():
            train(args.old.resolve(), arguments, begun.resolve(), stop_at="metrics.jsonl")
        if args.record:
            print(f"{name}: recorded", flush=True)
            continue
        shutil.rmtree(new, ignore_errors=True)
        train(args.new.resolve(), arguments, new.resolve())
        found = differences(bits(old), bits(new))
        if begun.exists():
            resumed = args.folder / "resumed" / name
            shutil.rmtree(resumed, ignore_errors=True)
            shutil.copytree(begun, resumed)
            train(args.new.resolve(), arguments, resumed.resolve())
            found += [f"resumed{line}" for line in differences(bits(old), bits(resumed))]
        failed += bool(found)
        print(f"{name}: {'the same bits' if not found else 'DIFFERS'}", *found[:20], sep="\n  ", flush=True)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
