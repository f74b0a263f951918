"""What a run costs besides its steps, measured on a network of a few hundred weights."""

import json
import subprocess

import pytest

from strideflax import compile_cache
from strideflax.__main__ import main
from strideflax.benchmark import overhead
from strideflax.config_file import read_config

SMALL = """
from configs.baseline import baseline

def get_config(arg=None):
    config = baseline("quick")
    config.batch_size = 16
    config.model.update({"widths": (4,), "blocks": (1,), "strides": (1,)})
    config.model.stem.kernel = 3
    config.data.update({"train_count": 64, "val_count": 0, "test_count": 8})
    return config
"""


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "small.py").write_text(SMALL)
    return f"{tmp_path}/small.py"


def test_the_same_steps_in_the_loop_and_one_by_one(spec, monkeypatch):
    runs, awaited = [], []
    train, block = overhead.train, overhead.jax.block_until_ready

    def recorded(config, folder, **options):
        runs.append(train(config, folder, **options))
        return runs[-1]

    monkeypatch.setattr(overhead, "train", recorded)
    monkeypatch.setattr(overhead.jax, "block_until_ready", lambda state: awaited.append(block(state)) or awaited[-1])
    ((looped, apart),) = overhead.loop_seconds(read_config(spec), rounds=1, steps=6)
    assert looped == runs[0].train_seconds > 0
    assert apart > 0
    assert runs[0].steps == 6
    assert int(awaited[-1].step) == 7  # one before the clock starts


def test_memory_by_count_is_what_a_hand_counts(spec):
    planned, counted = overhead.memory_bytes(read_config(spec))
    weights = 3 * 3 * 3 * 4 + 2 * (3 * 3 * 4 * 4) + 4 * 10 + 10  # stem, block, head
    norms = 3 * 4  # channels of the three BatchNorms
    state = (2 * (weights + 2 * norms) + 2 * norms) * 4  # parameters and their momentum, running mean and variance
    images = 64 * (32 * 32 * 3 + 4) + 64 * 4  # uint8 pixels, int32 labels, int32 order
    maps = 16 * (7 * 16 * 16 * 4 + 4 + 10) * 4  # three convolutions and norms, the addition, the mean, the logits
    assert counted == pytest.approx(state + images + maps, abs=64)  # and a few counters
    assert 0.3 < planned / counted < 3


def test_a_start_is_a_process_that_does_one_step(spec, capfd, tmp_path, monkeypatch):
    monkeypatch.setenv("STRIDEFLAX_CACHE", str(tmp_path / "cache"))
    assert overhead.start_seconds(spec) > 0.2  # Python alone takes that
    assert any((tmp_path / "cache" / "compiled").rglob("*.program"))  # the next one finds the program
    with pytest.raises(subprocess.CalledProcessError):
        overhead.start_seconds(spec, ["--config.batch_size=65"])
    assert "at most the 64 training images" in capfd.readouterr().err


def test_the_command_prints_and_stores_them(spec, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(overhead, "STEPS", 4)
    monkeypatch.setattr(compile_cache, "keep_compiled", lambda: None)  # of this process, which has other tests
    starts = iter([9.0, 2.0, 3.0])
    monkeypatch.setattr(overhead, "start_seconds", lambda *_: next(starts))
    out = tmp_path / "overhead.json"
    main(["bench", "overhead", "--config", spec, "--rounds", "2", "--out", str(out)])
    stored, printed = json.loads(out.read_text()), capsys.readouterr().out
    assert len(stored["loop_over_steps"]) == stored["rounds"] == 2
    assert (
        sorted(stored["loop_over_steps"])[0] <= stored["loop_over_steps_median"] <= sorted(stored["loop_over_steps"])[1]
    )
    assert f"median {stored['loop_over_steps_median']:.3f}, n = 2" in printed
    assert f"by count: {stored['planned_bytes'] / stored['counted_bytes']:.2f}" in printed
    assert stored["start_seconds"] == [2.0, 3.0]
    assert "first step done after 2.00, 3.00 s" in printed
    assert stored["device"]


def test_a_start_that_fails_is_one_line(spec, monkeypatch, tmp_path, capsys):
    def fails(*_):
        raise subprocess.CalledProcessError(3, "python")

    monkeypatch.setattr(compile_cache, "keep_compiled", lambda: None)
    monkeypatch.setattr(overhead, "memory_bytes", lambda config: (1, 1))
    monkeypatch.setattr(overhead, "loop_seconds", lambda config, rounds, steps: [(1.0, 1.0)])
    monkeypatch.setattr(overhead, "start_seconds", fails)
    with pytest.raises(SystemExit) as stop:
        main(["bench", "overhead", "--config", spec, "--rounds", "1", "--out", str(tmp_path / "o.json")])
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"error: a process that does one step of {spec} ended with 3\n"
