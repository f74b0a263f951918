"""What `pip wheel` makes is whole: installed where no checkout can be seen, it trains with its own configs."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from docs.pages import ROOT

TINY = [
    "--config.data.train_count=64",
    "--config.data.val_count=16",
    "--config.data.test_count=16",
    "--config.batch_size=32",
    "--config.eval_batch_size=16",
    "--config.model.widths=(4,4,4)",
]
COMMANDS = f"""
from strideflax.__main__ import main
from strideflax.results import shipped

main(["train", "--config", "configs/stride2.py:quick", "--workdir", "runs/one", *{TINY}])
print(len(shipped("ablation_cifar10")), "shipped runs")
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which pip has installed the wheel, alone."""
    built, target = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)], cwd=ROOT, check=True)
    (wheel,) = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True)
    return target


def run_installed(installed: Path, folder: Path, *words: str) -> str:
    """Run Python in ``folder`` with the wheel and its dependencies; ``-S`` hides a checkout that is installed as editable."""
    paths = os.pathsep.join([str(installed), sysconfig.get_path("purelib")])
    environment = {**os.environ, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-S", *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_every_file_of_the_library_is_in_the_wheel(installed: Path):
    for folder, place in (("strideflax", "strideflax"), ("configs", "strideflax/shipped/configs")):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert (installed / place / path.relative_to(ROOT / folder)).is_file(), path
    assert not (installed / "configs").exists()


def test_the_commands_run_outside_a_checkout(installed: Path, tmp_path: Path):
    said = run_installed(installed, tmp_path, "-c", COMMANDS)
    assert "80 shipped runs" in said
    assert (tmp_path / "runs/one/result.json").is_file()


def test_the_console_script_is_installed(installed: Path, tmp_path: Path):
    assert "strideflax 0." in run_installed(installed, tmp_path, str(installed / "bin/strideflax"), "--version")
