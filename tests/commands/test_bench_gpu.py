"""`bench gpu` on a machine without ml_collections and other packages, in parts that can be stopped and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands.answers import mistake

from strideflax.__main__ import main
from strideflax.benchmark.bare_machine.ml_collections import ConfigDict
from strideflax.benchmark.gpu_parts import PARTS, Setting
from strideflax.benchmark.gpu_report import Line, report_lines
from strideflax.benchmark.part_results import PartResults
from strideflax.commands import bench_gpu

ROOT = Path(__file__).parents[2]
# What a machine with jax, flax, optax, orbax and PyTorch does not have; a stand-in outside of site-packages is let through.
MISSING = (
    "ml_collections", "tensorflow_datasets", "array_record", "importlib_resources", "pandas", "matplotlib", "PIL", "llvmlite",
    "tensorboardX", "wandb", "ray", "submitit",
)  # fmt: skip
BARE = f"""
import sys
from importlib.machinery import PathFinder

class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {MISSING!r}:
            return None
        found = PathFinder.find_spec(name, [place for place in sys.path if "site-packages" not in place])
        if found is None:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return found

sys.meta_path.insert(0, Bare())
"""


@pytest.fixture
def bare(tmp_path) -> dict[str, str]:
    """Return the variables of a process on such a machine."""
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BARE)
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "JAX_PLATFORMS": "cpu"}


def bench(out, *words: str) -> list[str]:
    return [sys.executable, "-m", "strideflax", "bench", "gpu", "--small", "--out", str(out), *words]


def test_a_bare_machine_measures_a_part_and_goes_on_with_what_is_missing(bare, tmp_path):
    out = tmp_path / "out"
    check = "import ml_collections"
    assert subprocess.run([sys.executable, "-c", check], env=bare, capture_output=True).returncode == 1
    command = bench(out, "--parts", "sizes,recipe")
    done = subprocess.run(command, env=bare, cwd=ROOT, capture_output=True, text=True, timeout=400)
    log = (out / "sizes.log").read_text()
    print(done.stdout, done.stderr, log)  # pytest shows them where a line below fails
    assert "one training step, stride2 bfloat16" in done.stdout
    assert "recipe on shapes, seed 0" in done.stdout
    rows = json.loads((out / "sizes.json").read_text())
    assert rows["done"]
    assert rows["rows"]["stride2 bfloat16"]["kernels"] > 50
    start = time.monotonic()
    again = subprocess.run(command, env=bare, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert "sizes: measured before" in again.stdout
    assert time.monotonic() - start < 15
    assert json.loads((out / "sizes.json").read_text()) == rows


def test_the_command_names_each_part():
    assert list(bench_gpu.PARTS) == list(PARTS)


def test_a_part_that_takes_too_long_is_ended_with_all_that_it_started(monkeypatch, tmp_path, capsys):
    child = tmp_path / "child"
    script = f"""
import subprocess, time
from pathlib import Path
Path({str(child)!r}).write_text(str(subprocess.Popen(["sleep", "60"]).pid))
time.sleep(60)
"""
    popen = subprocess.Popen
    monkeypatch.setattr(
        bench_gpu.subprocess, "Popen", lambda command, **how: popen([sys.executable, "-c", script], **how)
    )
    monkeypatch.setattr(bench_gpu, "SHORTEST_PART_SECONDS", 1)
    monkeypatch.setitem(bench_gpu.PARTS, "sizes", 3)
    with pytest.raises(SystemExit) as stop:
        main(["bench", "gpu", "--parts", "sizes", "--out", str(tmp_path / "out")])
    assert stop.value.code == 1
    printed = capsys.readouterr().out
    assert "sizes: not done, or not wholly: it took more than 3 s" in printed
    assert "goes on with them" in printed
    for _ in range(100):
        try:
            os.kill(int(child.read_text()), 0)
        except ProcessLookupError:
            return
        if "zombie" in Path(f"/proc/{child.read_text()}/status").read_text():
            return
        time.sleep(0.05)
    os.kill(int(child.read_text()), signal.SIGKILL)
    pytest.fail("the part's child lives on")


def test_the_recipe_without_its_images_stays_missing_and_says_what_to_set(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("CIFAR10_DIR", raising=False)
    with pytest.raises(SystemExit) as stop:
        main(["bench", "gpu", "--parts", "recipe", "--out", str(tmp_path)])
    assert stop.value.code == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "recipe: not done, or not wholly: the variable CIFAR10_DIR is not set" in printed
    assert not PartResults(tmp_path / "recipe.json").is_done


def test_when_the_minutes_are_over_the_rest_is_left(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench_gpu, "SHORTEST_PART_SECONDS", 1e9)
    with pytest.raises(SystemExit):
        main(["bench", "gpu", "--parts", "limits,sizes", "--minutes", "7", "--out", str(tmp_path)])
    assert capsys.readouterr().out.count("the 7 minutes are over") == 2


def test_rows_are_kept_one_by_one(tmp_path):
    path = tmp_path / "part.json"
    PartResults(path).add("a", {"x": 1})
    second = PartResults(path)
    second.describe({"device": "a card"})
    second.add("b", {"x": 2})
    assert PartResults(path).about == {"device": "a card"}
    assert PartResults(path).rows == {"a": {"x": 1}, "b": {"x": 2}}
    assert not PartResults(path).is_done
    PartResults(path).finish()
    assert PartResults(path).is_done


def row(ours: float, rivals: dict[str, float], *, dtype="float32", deterministic=(True, False)) -> dict:
    times = {"auto": {"median_ms": ours, "images_per_second": 128e3 / ours, "gflops_per_second": 40.0}}
    ratios = {name: {"median": theirs / ours} for name, theirs in rivals.items()}
    times |= {name: {"median_ms": theirs} for name, theirs in rivals.items()}
    said = dict(zip(("auto", "torch_compile"), deterministic, strict=True))
    return {"times": times, "ratios": ratios, "dtype": dtype, "deterministic": said, "workload": {"kind": "step"}}


def test_the_lines_say_what_holds():
    product = {"times": {"auto": {"gflops_per_second": 80.0}}, "dtype": "float32", "workload": {"kind": "product"}}
    parts = {
        "starts": {"stride2": {"empty_seconds": 11.0, "kept_seconds": 4.5}},
        "same_bits": {"stride2": {"pair_is_equal": True, "resumed_is_equal": False, "lines_of_chatter": 0}},
        "limits": {"matrix product": product},
        "steps": {
            "a": row(2.0, {"torch_compile": 3.0, "torch_graphs": 1.9}),
            "b": row(2.0, {"torch_compile": 2.0}, deterministic=(True, True)),
            "c": row(2.0, {}) | {"failed": {"torch_compile": "no PyTorch"}},
        },
        "sizes": {"stride2": {"kernels": 1234, "bytes": 5e6, "branches": 0}},
        "shapes": {"conv": row(1.0, {"lax": 0.5})},
        "recipe": {
            "seed 0": {"test_accuracy": 0.9412, "train_seconds": 20.0, "epochs": 20.0, "images": "cifar10"},
            "seed 1": {"test_accuracy": 0.9399, "train_seconds": 20.0, "epochs": 20.0, "images": "cifar10"},
        },
    }
    lines = report_lines(parts)
    assert [line.holds for line in lines] == [
        True, False, True, False, True, None, False, True, None, True, False, True, False,
    ]  # fmt: skip
    assert Line("first step, stride2", "11.0 s", "under 12 s", True) in lines
    assert (
        Line("a", "64,000 images/s, 50.0% of peak; 0.95 x, PyTorch not deterministic", "1.00 x torch.compile", False)
        in lines
    )
    assert "1.00 x, both deterministic" in lines[7].measured
    assert lines[-1] == Line("recipe on cifar10, seed 1", "93.99%; 20 epochs in 20.0 s", "94%", False)
    assert lines[8].measured.endswith("no ratio: no PyTorch")
    assert report_lines({}) == []


def test_the_stand_in_reads_the_shipped_configs_as_ml_collections_does(monkeypatch):
    import ml_collections

    from configs import baseline as shipped
    from configs import resnet9

    for arg in (None, "quick", "narrow"):
        real, recipe = shipped.baseline(arg).to_dict(), resnet9.get_config(arg).to_dict()
        monkeypatch.setattr(shipped, "ConfigDict", ConfigDict)
        assert shipped.baseline(arg).to_dict() == real
        assert resnet9.get_config(arg).to_dict() == recipe
        monkeypatch.setattr(shipped, "ConfigDict", ml_collections.ConfigDict)
    values = ConfigDict({"a": {"b": 1}})
    values.a.b = 2
    assert values.to_dict() == {"a": {"b": 2}}
    with pytest.raises(AttributeError):
        _ = values.a.c


def test_small_is_small():
    assert len(Setting(small=True).configs) * len(Setting(small=True).batches) < len(Setting().configs)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--parts", "steps,speed"], "--parts must be some of starts, same_bits, limits"),
        (["--minutes", "0"], "--minutes: must be an int >= 1, got '0'"),
    ],
)
def test_a_mistake_is_one_line(words, message, capsys):
    assert message in mistake(capsys, "bench", "gpu", *words)
