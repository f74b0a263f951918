"""Runs as the sweep leaves them, written by hand."""

import json
from pathlib import Path

import pandas as pd

# operator -> (accuracy without crop, gain with crop, million MACs, consistency)
OPERATORS = {
    "strided_conv": (0.880, 0.030, 40.0, 0.85),
    "max_pool": (0.886, 0.028, 62.0, 0.87),
    "avg_pool": (0.885, 0.026, 102.0, 0.90),
    "blur_pool": (0.895, 0.016, 63.5, 0.93),
}
NOISE = {0: 0.000, 1: 0.004, 2: -0.003}  # a seed's luck, shared by all operators
# how an operator differs from that luck, a seed more
JITTER = {"strided_conv": 0.0, "max_pool": 0.0005, "avg_pool": -0.0004, "blur_pool": 0.0008}


def config(operator="strided_conv", crop=4, seed=0, **model):
    return {
        "seed": seed,
        "epochs": 3.0,
        "batch_size": 128,
        "model": {"downsample": operator, "window": 0, "widths": [16, 32], "strides": [1, [2, 1]], **model},
        "data": {"name": "cifar10", "dir": "somewhere"},
        "augment": {"crop": crop, "flip": True},
        "optimizer": {"learning_rate": 0.2},
    }


def result(operator="strided_conv", crop=4, seed=0, **changes):
    accuracy, gain, macs, _ = OPERATORS[operator]
    accuracy += NOISE[seed] + (gain if crop else 0) + JITTER[operator] * (seed - 1) * (1 + crop / 4)
    return {
        "status": "finished",
        "test_accuracy": accuracy,
        "test_loss": 0.4,
        "val_accuracy": accuracy - 0.01,
        "val_loss": None,
        "train_loss": 0.3,
        "seed": seed,
        "config": config(operator, crop, seed),
        "config_fingerprint": f"{operator}{crop}{seed}",
        "dataset": {
            "name": "CIFAR-10 (JPEG re-encoded)",
            "fingerprint": "0123456789ab",
            "test_count": 10000,
            "source": "a folder",
        },
        "params": 1000,
        "macs": int(macs * 1e6),
        "images_per_second": 900.0,
        "compile_seconds": 2.5,
        "train_seconds": 60.0,
        "device": "cpu, 2 cores",
        "versions": {"python": "3.11.2", "jax": "0.10.2", "strideflax": None},
    } | changes


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_run(folder: Path, operator: str, crop: int, seed: int) -> None:
    write(folder / "config.json", config(operator, crop, seed))
    lines = [
        {"epoch": e, "step": 10 * e, "train_loss": 2 / e, "val_accuracy": OPERATORS[operator][0] - 0.3 / e**2}
        for e in (1, 2, 3)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    consistency = OPERATORS[operator][3] + 0.001 * seed
    borders = {
        "reflect": {"consistency": {"1": consistency + 0.02, "4": consistency}},
        "images": 1000,
        "protocol": "exact",
    }
    write(folder / "measures/shift_consistency.json", borders)
    cost = {"inference_batch_1": {"median_ms": OPERATORS[operator][2] / 10, "batch_size": 1}, "device": "a small cpu"}
    write(folder / "measures/cost.json", cost)
    write(folder / "result.json", result(operator, crop, seed))


def write_study(root: Path) -> Path:
    """4 operators x crop 0 and 4 x 3 seeds with measures, one of them failed; one was killed, one is no run of ours."""
    for operator in OPERATORS:
        for crop in (0, 4):
            for seed in NOISE:
                write_run(root / f"{operator}-{crop}-{seed}", operator, crop, seed)
    failed = result("avg_pool", 4, 2) | {"status": "failed", "error": "out of memory <b>here</b>"}
    write(root / "avg_pool-4-2" / "result.json", failed)
    write(root / "killed/config.json", config("max_pool", 0, 3))
    write(root / "foreign/result.json", {"answer": 42})
    write(root / "notes/readme.json", {})
    return root


def accuracies(values, **changes):
    """Runs of {operator: [test accuracy of seed 0, 1, ...]} as a table, with columns changed or added."""
    return pd.DataFrame(
        [
            {
                "run": f"{name}{seed}{changes}",
                "status": "finished",
                "seed": seed,
                "test_accuracy": value,
                "model.downsample": name,
                "device": "cpu",
                "dataset_name": "made up",
                "dataset_fingerprint": "1",
            }
            | changes
            for name, seeds in values.items()
            for seed, value in enumerate(seeds)
        ]
    )
