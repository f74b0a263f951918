"""``train.py`` as a user meets it: what it prints, what it answers to mistakes, what a kill leaves."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_net import TINY_NET

from strideflax.__main__ import main

ROOT = Path(__file__).parents[2]
TINY = [
    *TINY_NET,
    "--config.data.train_count=640",
    "--config.data.val_count=48",
    "--config.data.test_count=70",
    "--config.batch_size=32",
    "--config.epochs=8",
]  # fmt: skip


def command(*words: object) -> list[str]:
    return [sys.executable, str(ROOT / "train.py"), *map(str, words)]


def final_weights(folder: Path) -> list[bytes]:
    import jax
    import numpy as np
    from flax import nnx

    from strideflax.training import restore_run

    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(nnx.state(restore_run(folder).model))]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("train") / "run"
    done = subprocess.run(command(*TINY, "--workdir", folder), cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return folder, done.stdout


def test_it_says_what_will_run_then_a_line_an_epoch_then_the_result(uninterrupted):
    folder, output = uninterrupted
    lines = output.splitlines()
    for word in ("model", "parameters", "MACs", "data", "fingerprint", "640 train", "device", "8 epochs, 160 steps"):
        assert any(word in line for line in lines[:6]), word
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == 8
    for word in ("loss", "train accuracy", "val accuracy", "images/s"):
        assert word in epochs[0]
    assert "test accuracy" in lines[-2]
    assert lines[-1] == f"result in {folder / 'result.json'}"
    assert "\x1b" not in output, "no escape codes where there is no terminal"


def test_kill_9_then_the_same_command_ends_with_the_same_weights(uninterrupted, tmp_path):
    folder = tmp_path / "run"
    running = subprocess.Popen(command(*TINY, "--workdir", folder), cwd=ROOT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    while not (folder / "metrics.jsonl").exists() or len((folder / "metrics.jsonl").read_text().splitlines()) < 2:
        assert running.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (folder / "result.json").exists()
    done = subprocess.run(command(*TINY, "--workdir", folder), cwd=ROOT, capture_output=True, text=True, check=True)
    assert "resumed at step" in done.stdout
    assert final_weights(folder) == final_weights(uninterrupted[0])


def test_sigterm_saves_at_once_and_exits_with_143(tmp_path):
    folder = tmp_path / "run"
    words = command(*TINY, "--config.epochs=200", "--config.checkpoint_epochs=1000", "--workdir", folder)
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("epoch"):
                break
        running.terminate()
        output = running.stdout.read()
    assert running.returncode == 128 + signal.SIGTERM
    assert "the same command goes on from there" in output
    assert [p.name for p in (folder / "checkpoints").iterdir() if p.name.isdigit()]
    assert not (folder / "result.json").exists()


def test_the_same_command_on_a_finished_run_says_so(uninterrupted, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    main(["train", *TINY, "--workdir", str(uninterrupted[0])])
    output = capsys.readouterr().out
    assert "already finished" in output
    assert "test accuracy" in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config.optimizer.learning_rate=abc"], "learning_rate must be float, got 'abc'"),
        (["--config.optimizer.learning_rate=nan"], "learning_rate must be finite"),
        (["--config.optimizer.learning_rate=-1"], "learning_rate must be a number > 0"),
        (["--config.no_such=1"], "config.no_such does not exist; config has"),
        (["--config.model.downsample=magic"], "unknown downsampling operator 'magic'; known: strided_conv"),
        (["--config.batch_size=100000"], "batch_size must be at most the 640 training images"),
        (["--config.model.strides=(1, 64)"], "empties the map"),
        (["--config.data.name=cifar10", "--config.data.dir=/nowhere/at/all"], "/nowhere/at/all"),
        (["--config.seed={[]:1}"], "config.seed must be int, got '{[]:1}'"),
        (["--config.epochs=1e308"], "config.epochs must be a number in (0, 10000]"),
        (["--no-such-flag"], "unrecognized arguments: --no-such-flag"),
        (["--distributed", "here"], "--distributed must be auto or HOST:PORT,COUNT,INDEX, got 'here'"),
        (["--distributed", "here:1,2"], "--distributed must be auto or HOST:PORT,COUNT,INDEX, got 'here:1,2'"),
        (["--distributed", "127.0.0.1:99999,1,0"], "the port must be from 1 to 65535, got 99999"),
        (["--distributed", "127.0.0.1:0,1,0"], "the port must be from 1 to 65535, got 0"),
        (["--distributed", "127.0.0.1:1234,2,2"], "the index must be from 0 to 1, one less than the count, got 2"),
        (["--distributed", "host.invalid:1234,2,1"], "--distributed: host.invalid:1234 can't be used: "),
        (["--distributed", "auto"], "--distributed can't join the other processes: "),
    ],
)
def test_a_mistake_is_one_line_exit_code_2_and_no_folder(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as exit_info:
        main(["train", *TINY, *words, "--workdir", str(tmp_path / "run")])
    errors = capsys.readouterr().err
    assert exit_info.value.code == 2
    assert message in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_port_in_use_is_told_at_once(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    with socket.create_server(("", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]},1,0"
        with pytest.raises(SystemExit) as stop:
            main(["train", *TINY, "--distributed", address, "--workdir", str(tmp_path / "run")])
    assert stop.value.code == 2
    assert "can't be used: Address already in use" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_without_a_key_for_weights_and_biases_nothing_is_begun(tmp_path):
    """In a process of its own, as wandb keeps what it once read."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    words = command(*TINY, "--wandb", "a-project", "--workdir", tmp_path / "run")
    done = subprocess.run(
        words,
        cwd=ROOT,
        env=environment | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --wandb can't log in: No API key configured.")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_file_in_the_place_of_the_run_folder_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SystemExit) as exit_info:
        main(["train", *TINY, "--workdir", str(tmp_path / "file")])
    assert exit_info.value.code == 2
    assert "is a file; a run needs a folder" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_command_without_a_config_refuses_overrides(capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["data", "--name", "shapes", "--config.seed=1"])
    assert exit_info.value.code == 2
    assert "unrecognized arguments: --config.seed=1" in capsys.readouterr().err


def test_a_missing_config_is_told_by_the_script_itself(tmp_path):
    done = subprocess.run(command("--config", "configs/missing.py"), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: config file configs/missing.py does not exist; configs has")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_by_default_the_folder_is_named_after_config_and_fingerprint(tmp_path):
    (tmp_path / "configs").mkdir()
    words = [w.replace("configs/", str(ROOT / "configs") + "/") for w in TINY] + ["--config.epochs=1"]
    subprocess.run(command(*words), cwd=tmp_path, check=True, capture_output=True)
    (folder,) = (tmp_path / "runs").iterdir()
    fingerprint = json.loads((folder / "result.json").read_text())["config_fingerprint"]
    assert folder.name == f"stride2-quick-{fingerprint}"


def test_tensorboard_reads_what_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    main(["train", *TINY, "--config.epochs=1", "--tensorboard", "--workdir", str(tmp_path / "run")])
    (events,) = (tmp_path / "run" / "tensorboard").iterdir()
    assert events.stat().st_size > 100
    assert b"val_accuracy" in events.read_bytes()
    assert os.path.exists(tmp_path / "run" / "result.json")


def test_a_sweep_s_file_says_that_one_run_of_many_is_trained(uninterrupted, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = ["configs/alignment.py:quick" if word == "configs/stride2.py:quick" else word for word in TINY]
    main(["train", *words, "--workdir", str(uninterrupted[0])])
    assert (
        "configs/alignment.py:quick is a sweep's; this trains the one run that the others change"
        in capsys.readouterr().out
    )
