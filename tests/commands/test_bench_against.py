import json
from contextlib import contextmanager

import pytest
from benchmark.clock import RESULTS, Clock, workers
from commands.answers import mistake

from strideflax.__main__ import main
from strideflax.benchmark import remote
from strideflax.benchmark.contenders import RIVALS
from strideflax.commands import bench_against

ONLY = [
    "--only",
    "max_pool 3x3/2 32 at 32x32, float32",
]  # forward, and forward + backward; limits come with every run


@pytest.fixture
def contenders(monkeypatch):
    """Return a function that puts contenders with given times in place of the processes."""

    def place(*clocks):
        @contextmanager
        def opened(names, cores=0, **_):
            assert list(names) == [clock.name for clock in clocks]
            yield workers(*clocks)

        monkeypatch.setattr(remote, "open_contenders", opened)

    return place


def test_ratios_are_printed_and_stored_with_the_peak(contenders, tmp_path, capsys):
    contenders(Clock("auto", 2, 4), Clock("lax", 9, 8))
    out = tmp_path / "against.json"
    main(["bench", "against", "lax", "--rounds", "2", "--out", str(out), *ONLY])
    stored, printed = json.loads(out.read_text()), capsys.readouterr().out
    assert [row["name"] for row in stored["rows"]] == [
        "matrix product 2048x2048, float32",
        "matrix product 2048x2048, bfloat16",
        "increment of 33,554,432 numbers, float32",
        "increment of 33,554,432 numbers, bfloat16",
        "max_pool 3x3/2 32 at 32x32, float32, forward",
        "max_pool 3x3/2 32 at 32x32, float32, forward + backward",
    ]
    assert all(row["ratios"]["lax"]["rounds"] == [4.5, 2.0] for row in stored["rows"])
    assert stored["device"] == "a clock"
    assert stored["contenders"]["lax"]["versions"] == {"jax": "1"}
    assert stored["peaks_gflops_per_second"]["bfloat16"] == pytest.approx(2 * 2048**3 / 3e-3 / 1e9)
    assert stored["peaks_gigabytes_per_second"]["bfloat16"] == pytest.approx(2 * 2 * 2**25 / 3e-3 / 1e9)
    pixels = 128 * 32 * (32 * 32 + 16 * 16)
    assert stored["rows"][-1]["times"]["auto"]["gigabytes_per_second"] == pytest.approx(2 * 4 * pixels / 3e-3 / 1e9)
    line = next(line for line in printed.splitlines() if "float32, forward + backward" in line and "(" in line)
    assert line.split()[-4:] == ["3.000", "ms", "3.25", "(2.00-4.50)"]
    assert "matrix product, float32: 5,727 GFLOP/s" in printed
    assert "memory, float32: 89.5 GB/s" in printed


def test_a_rival_that_computes_something_else_is_told_and_fails(contenders, tmp_path, capsys):
    contenders(Clock("auto", 2), Clock("lax", 9, facts={"results": [[3.0, 2.0]]}))
    with pytest.raises(SystemExit) as stop:
        main(["bench", "against", "lax", "--out", str(tmp_path / "a.json"), *ONLY])
    assert stop.value.code == 1
    assert "lax differs: result 0 off by 1.0e+00" in capsys.readouterr().out


def test_a_contender_that_cannot_start_is_left_out_in_one_line(contenders, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench_against.importlib.util, "find_spec", lambda name: object())
    names = ("auto", *RIVALS["torch"])
    contenders(*(Clock(name, 2, broken="describe" if name == "torch_compile" else None) for name in names))
    out = tmp_path / "a.json"
    main(["bench", "against", "torch", "--out", str(out), *ONLY])
    assert "left out: ValueError: no" in capsys.readouterr().out
    assert json.loads(out.read_text())["rows"][0]["ratios"].keys() == {
        "lax", "torch", "torch_last", "torch_graphs",
    }  # fmt: skip


def test_the_check_passes_or_fails_with_its_exit_code(contenders, tmp_path, capsys):
    words = ["bench", "against", "lax", "--check", "--out", str(tmp_path / "check.json")]
    contenders(Clock("auto", 2), Clock("lax", 20))
    main(words)
    assert capsys.readouterr().out.count("holds: ") == len(json.loads((tmp_path / "check.json").read_text())["rows"])
    contenders(Clock("auto", 2), Clock("lax", 2))
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 1
    assert "TOO SLOW: max_pool 2x2/2" in capsys.readouterr().out


def test_the_check_of_some_floors_leaves_the_others(contenders, tmp_path, capsys):
    contenders(Clock("auto", 2), Clock("lax", 20))
    out = tmp_path / "check.json"
    main(["bench", "against", "lax", "--check", "--only", "avg_pool", "--out", str(out)])
    assert [row["name"][:8] for row in json.loads(out.read_text())["rows"]] == ["avg_pool"]


def test_a_scaling_is_stored_with_its_ideal_and_drawn(monkeypatch, tmp_path, capsys):
    class Opened(Clock):
        def __init__(self, name, environment):
            super().__init__(name, 10, facts=RESULTS | {"macs": 100})

    monkeypatch.setattr("strideflax.benchmark.scaling.RemoteContender", Opened)
    out = tmp_path / "batch.json"
    main(["bench", "scaling", "batch", "--rounds", "2", "--out", str(out)])
    rows = json.loads(out.read_text())["rows"]
    assert [(row["at"], row["images_per_second"]["median"]) for row in rows[:2]] == [(16, 1600), (32, 3200)]
    assert {row["ideal_images_per_second"] for row in rows} == {51200}
    assert out.with_suffix(".svg").read_text().startswith("<?xml")
    assert "batch    16: 1,600 images/s" in capsys.readouterr().out


def test_the_points_before_one_that_fails_are_kept(monkeypatch, tmp_path, capsys):
    class Opened(Clock):
        def __init__(self, name, environment):
            count = int(environment["JAX_NUM_CPU_DEVICES"])
            super().__init__(name, 10, facts=RESULTS | {"macs": 100}, broken="prepare" if count == 4 else None)
            self.count = count

        def ask(self, *, do, **request):
            return super().ask(do=do, **request) | ({"device_count": self.count} if do == "describe" else {})

    monkeypatch.setattr("strideflax.benchmark.scaling.RemoteContender", Opened)
    out = tmp_path / "devices.json"
    with pytest.raises(SystemExit) as stop:
        main(["bench", "scaling", "devices", "--out", str(out)])
    assert stop.value.code == 2
    assert "devices 4 can't be measured: ValueError: no" in capsys.readouterr().err
    assert [row["at"] for row in json.loads(out.read_text())["rows"]] == [1, 2]
    assert out.with_suffix(".svg").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["against", "jax"], "invalid choice: 'jax'"),
        (["against"], "the rival is missing; known: lax, torch"),
        (["against", "lax", "--shape", "1,2,2,1"], "unrecognized arguments: --shape 1,2,2,1"),
        (["against", "lax", "--torch-python", "x"], "unrecognized arguments: --torch-python"),
        (["against", "torch", "--check"], "unrecognized arguments: --check; see strideflax bench against torch --help"),
        (["against", "lax", "--check", "--config", "x.py"], "--config means nothing there"),
        (["scaling", "depth"], "invalid choice: 'depth'"),
        (["scaling", "width", "--dtypes", "float32"], "unrecognized arguments: --dtypes float32"),
        (["against", "lax", "--rounds", "0"], "--rounds: must be an int >= 1, got '0'"),
        (["against", "lax", "--dtypes", "float16"], "--dtypes must be some of float32, bfloat16, got 'float16'"),
        (
            ["against", "lax", "--check", "--dtypes", "float23"],
            "--dtypes must be some of float32, bfloat16, got 'float23'",
        ),
        (["against", "lax", "--only", "lp_pool"], "--only 'lp_pool' leaves no workload; names are such as 'stride2"),
        (
            ["against", "lax", "--check", "--dtypes", "bfloat16"],
            "--dtypes bfloat16 leave no floor, such as 'max_",
        ),
        (["against", "lax", "--config", "configs/x.py"], "config file configs/x.py does not exist"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words, message, capsys):
    assert message in mistake(capsys, "bench", *words)


def test_without_pytorch_it_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr(bench_against.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        main(["bench", "against", "torch"])
    assert (
        "PyTorch is not installed; pip install 'strideflax[torch]' or give a --torch-python that has it"
        in capsys.readouterr().err
    )
