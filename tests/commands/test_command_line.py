"""The program as a whole: its help, its version, what it answers to words that no command has."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands.answers import mistake

import strideflax
from strideflax.__main__ import main
from strideflax.analysis.run_table import SHIPPED
from strideflax.commands import bench
from strideflax.commands.command_line import COMMANDS

ROOT = Path(__file__).parents[2]
HELPS = [[], *([name] for name in COMMANDS), *(["bench", name] for name in bench.COMMANDS), ["bench", "against", "lax"]]


@pytest.mark.parametrize("words", HELPS, ids=" ".join)
def test_help_is_told_by_every_command_without_loading_jax(words):
    script = (
        "import sys\nfrom strideflax.__main__ import main\ntry: main(sys.argv[1:])\n"
        "finally: print('slow:', *{'jax', 'pandas', 'matplotlib', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words, "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.startswith(" ".join(["usage: strideflax", *words]))
    assert done.stdout.splitlines()[-1] == "slow:"
    assert done.stderr == ""
    assert max(len(line) for line in done.stdout.splitlines()) <= 128


def test_help_takes_less_than_a_second():
    def seconds() -> float:
        start = time.monotonic()
        subprocess.run([sys.executable, "-m", "strideflax", "train", "--help"], check=True, capture_output=True)
        return time.monotonic() - start

    assert min(seconds() for _ in range(3)) < 1  # the best of three, as other tests run beside this one


def test_the_program_lists_its_commands(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    listed = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n    {name} " in listed


def test_the_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("strideflax ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], f"a command is missing; known: {', '.join(COMMANDS)}; see strideflax --help"),
        (["trian"], "invalid choice: 'trian' (choose from"),
        (["--config", "x"], "invalid choice: 'x' (choose from"),
        (["--verbose"], "unrecognized arguments: --verbose; see strideflax --help"),
        (["report", "runs", "--colour"], "unrecognized arguments: --colour; see strideflax report --help"),
        (["sweep", "--config", "x", "--out", "y", "--workers", "0"], "--workers: must be an int >= 1, got '0'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words, message, capsys):
    assert message in mistake(capsys, *words)


def test_runs_are_not_imported_into_a_file(capsys, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    words = "results", "import", SHIPPED / "claims_cifar10.jsonl.gz", tmp_path / "notes.txt"
    assert "notes.txt is a file; choose another folder for the runs" in mistake(capsys, *words)


def test_the_script_of_a_checkout_is_the_command_train():
    done = subprocess.run([sys.executable, "train.py", "--help"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.startswith("usage: train.py [-h] --config")


def test_importing_the_package_is_quick_and_its_names_come_when_asked_for():
    script = "import sys, strideflax; print('jax' in sys.modules, strideflax.blur_pool.__name__, 'jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False", "blur_pool", "True"]
    assert "blur_pool" in dir(strideflax)
    with pytest.raises(AttributeError, match="module 'strideflax' has no attribute 'blur'"):
        _ = strideflax.blur


def test_every_command_says_what_it_is_in_the_first_line_of_its_docstring():
    for command in (*COMMANDS.values(), *bench.COMMANDS.values()):
        assert command.__doc__ is not None
        assert len(command.__doc__.splitlines()[0]) <= 100
