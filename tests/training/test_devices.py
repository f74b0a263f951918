"""Several devices and several processes do the same arithmetic as one."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_net import TINY_NET

ROOT = Path(__file__).parents[2]
WORDS = [
    *TINY_NET,
    "--config.data.train_count=320",
    "--config.data.val_count=50",
    "--config.data.test_count=70",
    "--config.batch_size=32",
    "--config.eval_batch_size=30",
    "--config.epochs=2",
]  # fmt: skip
CHILD = """
import sys, jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
from strideflax.__main__ import main
main(["train", *sys.argv[2:]])
"""

STEP = """
import sys, jax
jax.config.update("jax_num_cpu_devices", 8)
from strideflax.benchmark.overhead import compile_step
from strideflax.config_file import read_config
from strideflax.training.setup import prepare
overrides = [word for word in sys.argv[1:] if word.startswith("--config.")]
step, _ = compile_step(prepare(read_config("configs/stride2.py:quick", overrides)))
print(step.as_text())
"""


def start(devices: int, *words: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(devices), *WORDS, *map(str, words)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
    return output


def losses(folder: Path) -> list[float]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    result = json.loads((folder / "result.json").read_text())
    return [value for r in records for value in (r["train_loss"], r["val_loss"])] + [result["test_loss"]]


@pytest.fixture(scope="module")
def one_device(tmp_path_factory) -> list[float]:
    folder = tmp_path_factory.mktemp("one") / "run"
    finish(start(1, "--workdir", folder))
    return losses(folder)


@pytest.mark.parametrize(("devices", "steps_per_dispatch"), [(2, 3), (4, 1)])
def test_several_devices_give_the_losses_of_one(devices, steps_per_dispatch, one_device, tmp_path):
    finish(start(devices, "--workdir", tmp_path / "run", "--steps-per-dispatch", steps_per_dispatch))
    assert losses(tmp_path / "run") == pytest.approx(one_device, rel=1e-4)
    assert f"{devices} JAX devices" in json.loads((tmp_path / "run" / "result.json").read_text())["device"]


def test_two_processes_give_the_losses_of_one(one_device, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path / "run"
    both = [start(1, "--workdir", folder, "--distributed", f"127.0.0.1:{port},2,{index}") for index in (0, 1)]
    for process in both:
        finish(process)
    assert losses(folder) == pytest.approx(one_device, rel=1e-4)


def test_a_batch_that_the_devices_cannot_share_is_refused(tmp_path):
    process = start(4, "--config.batch_size=30", "--workdir", tmp_path / "run")
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 2
    assert "batch_size must be divisible by the number of devices (4), got 30" in output


def test_the_gradients_of_all_kernels_travel_in_three_sums_over_the_devices():
    words = [*WORDS, "--config.eval_batch_size=40"]
    done = subprocess.run([sys.executable, "-c", STEP, *words], cwd=ROOT, capture_output=True, text=True, timeout=900)
    sums = re.findall(r" = (.*) all-reduce\(", done.stdout)
    with_kernels = [arrays for arrays in sums if re.search(r"f32\[\d+,\d+,\d+,\d+\]", arrays)]
    kernels = re.findall(r"f32\[\d+,\d+,\d+,\d+\]", " ".join(sums))
    assert 1 <= len(with_kernels) <= 3 < len(kernels)
    assert len(sums) < 20  # the others are BatchNorm's means and variances, forward and backward
