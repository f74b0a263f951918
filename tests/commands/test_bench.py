import json

import pytest
from commands.answers import mistake

from strideflax.__main__ import main
from strideflax.operators.blur import BlurPool


def test_it_prints_and_stores_a_table(tmp_path, capsys):
    out = tmp_path / "bench.json"
    main(["bench", "operators", "max_pool", "strided_conv", "--shape", "2,8,8,3", "--repeats", "2", "--out", str(out)])
    stored, printed = json.loads(out.read_text()), capsys.readouterr().out
    assert stored["shape"] == [2, 8, 8, 3]
    assert stored["stride"] == 2
    assert stored["device"]
    assert stored["versions"]["jax"]
    assert "2 calls" in stored["protocol"]
    assert [row["operator"] for row in stored["operators"]] == ["max_pool", "strided_conv"]
    for row in stored["operators"]:
        line = next(line for line in printed.splitlines() if line.split()[:1] == [row["operator"]])
        assert f"{row['forward']['median_ms']:.3f}" in line
        assert f"{row['forward_backward']['median_ms']:.3f}" in line


def test_an_operator_that_cannot_take_the_map_says_why_and_the_others_run(tmp_path, capsys, monkeypatch):
    out = tmp_path / "bench.json"
    words = ["blur_pool", "subsample", "--shape", "1,2,2,2", "--repeats", "1", "--out", str(out)]
    monkeypatch.setattr(BlurPool, "padding", property(lambda self: "REFLECT", lambda self, value: None), raising=False)
    monkeypatch.setattr(BlurPool, "default_window", 5)
    main(["bench", "operators", *words])
    failed, fine = json.loads(out.read_text())["operators"]
    assert "can fill at most 1" in failed["error"]
    assert failed["error"] in capsys.readouterr().out
    assert fine["forward"]["median_ms"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "what to measure is missing; known: operators, against, scaling, overhead, all, gpu"),
        (["operator"], "invalid choice: 'operator' (choose from"),
        (["operators", "max_pool", "pool"], "unknown operator 'pool'; known: strided_conv, subsample"),
        (["operators", "--shape", "128,32,32"], "--shape: must be BATCH,HEIGHT,WIDTH,CHANNELS, got '128,32,32'"),
        (["operators", "--shape", "1,0,2,2"], "--shape: must be an int >= 1, got '0'"),
        (["operators", "--stride", "0"], "--stride: must be an int >= 1, got '0'"),
        (["operators", "--repeats", "-1"], "--repeats: must be an int >= 1, got '-1'"),
        (["operators", "--repeats", "x"], "--repeats: must be an int >= 1, got 'x'"),
        (["operators", "--rounds", "2"], "unrecognized arguments: --rounds; see strideflax bench operators --help"),
        (["operators", "--config.seed=1"], "unrecognized arguments: --config.seed=1; see strideflax bench operators"),
        (["--operators", "max_pool", "--shape", "1,2,2,1"], "bench --operators is now bench operators"),
        (["--against", "lax", "--check"], "bench --against is now bench against"),
        (["--scaling", "width"], "bench --scaling is now bench scaling"),
        (["--overhead"], "bench --overhead is now bench overhead"),
        (["--all", "--out", "figures"], "bench --all is now bench all"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words, message, capsys):
    assert message in mistake(capsys, "bench", *words)
