"""``python -m strideflax inspect`` as a user meets it."""

import json
from pathlib import Path

import pytest
from PIL import Image

from strideflax.__main__ import main
from strideflax.operators.table import DOWNSAMPLERS

ROOT = Path(__file__).parents[2]
STRIDED, POOLED = str(ROOT / "configs/stride2.py"), str(ROOT / "configs/maxpool.py")


def inspect(capsys, *words: object) -> str:
    main(["inspect", *map(str, words)])
    return capsys.readouterr().out


def mistake(capsys, *words: object) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", *map(str, words)])
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def test_table_has_a_row_a_layer_the_totals_and_the_verdicts(capsys):
    lines = inspect(capsys, "--config", STRIDED, "--config.model.padding=SAME").splitlines()
    assert max(map(len, lines)) <= 100
    rows = [" ".join(line.split()) for line in lines]
    assert "stage2/block1" in rows
    assert "reduction/conv strided_conv 8×8×128 19 4 3 73.7 k 4.72 M 8% 32.8 k 9.3%" in rows
    assert "total 1.24 M 50.6 M 14% 804 k 100%" in rows
    assert "1,235,274 parameters, 50,649,600 MACs" in "\n".join(lines)
    assert "stage1/block1: aligned" in lines
    assert "stage3/block1: misaligned by (4, 4) px" in lines


def test_the_head_has_the_classes_of_the_data_set(capsys):
    said = inspect(capsys, "--config", STRIDED, "--config.data.name=cifar100", "--config.data.dir=anywhere")
    assert f"{1_235_274 + 90 * 257:,} parameters" in said


def test_nothing_is_cut_off_for_any_operator(capsys):
    for name in DOWNSAMPLERS:
        table = inspect(capsys, "--config", STRIDED, f"--config.model.downsample={name}")
        assert "…" not in table
        assert name in table


@pytest.mark.parametrize("words", [[], ["--size", 224, 224], ["--compare", POOLED, "--size", 224, 224]], ids=str)
def test_it_fits_a_terminal_of_80_columns(capsys, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    for name in DOWNSAMPLERS:
        printed = inspect(capsys, "--config", STRIDED, f"--config.model.downsample={name}", *words)
        assert max(len(line) for line in printed.splitlines()) <= 80, name
        assert "columns, or --json, show more of each layer." in printed
        assert "…" not in printed


def test_a_narrow_table_has_the_same_numbers_in_fewer_columns(capsys, monkeypatch):
    def rows() -> list[str]:
        printed = inspect(capsys, "--config", STRIDED, "--config.model.padding=SAME")
        return [" ".join(line.split()) for line in printed.splitlines()]

    wide = rows()
    monkeypatch.setenv("COLUMNS", "80")
    narrow = rows()
    assert "reduction/conv strided_conv 8×8×128 19 4 3 73.7 k 4.72 M 8% 32.8 k 9.3%" in wide
    assert "reduction/conv strided_conv 8×8×128 19 4 3 73.7 k 4.72 M" in narrow


def test_what_still_does_not_fit_is_wrapped_and_not_cut(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    printed = inspect(capsys, "--config", STRIDED)
    assert max(len(line) for line in printed.splitlines()) <= 40
    assert "…" not in printed
    first, second = (line for line in printed.splitlines() if line.startswith(("stem stri", "/con ded_")))
    assert first.split()[2] + second.split()[2] == "16×16×64"


def test_json_is_one_object(capsys):
    found = json.loads(inspect(capsys, "--config", STRIDED, "--config.model.downsample=max_pool", "--json"))
    assert found["overrides"] == ["--config.model.downsample=max_pool"]
    assert found["params"] == 1_235_274
    assert found["macs"] == sum(layer["macs"] for layer in found["layers"])
    assert sum(layer["macs_share"] for layer in found["layers"]) == pytest.approx(1)
    pool = next(layer for layer in found["layers"] if layer["name"] == "stage2/block1/reduction/downsample")
    assert pool["output"] == [8, 8, 128]
    # 19 pixels after the convolution at jump 2, and one more of them; half of that jump to the right of pixel 0.
    assert (pool["receptive_field"], pool["jump"], pool["start"]) == ([21, 21], [4, 4], [1.0, 1.0])


def test_compare_puts_layers_of_one_name_side_by_side(capsys):
    table = inspect(capsys, "--config", STRIDED, "--compare", POOLED)
    rows = [" ".join(line.split()) for line in table.splitlines()]
    assert "reduction/conv 8×8×128 19 73.7 k 4.72 M 16×16×128 19 73.7 k 18.9 M 4.00" in rows
    assert "reduction/downsample - 8×8×128 21 32.8 k" in rows
    assert "B/A: MACs 1.560, parameters 1.000" in table


def test_compare_as_json_and_overrides_of_the_first_alone(capsys):
    words = ["--config", STRIDED, "--config.model.downsample=max_pool", "--compare", STRIDED, "--json"]
    found = json.loads(inspect(capsys, *words))
    assert found["compare"]["macs"] == 50_649_600
    assert found["ratio"] == {"macs": 50_649_600 / found["macs"], "params": 1.0}
    assert found["macs"] > 50_649_600


def test_plot_is_written(capsys, tmp_path):
    words = ["--config", f"{STRIDED}:quick", "--size", 48, 40, "--plot", tmp_path / "fields.png"]
    assert "fields.png" in inspect(capsys, *words)
    with Image.open(tmp_path / "fields.png") as picture:
        assert len(picture.convert("RGB").getcolors(10**6)) > 20  # an image and coloured boxes, no empty axes


def test_mistakes_are_answered_in_a_line(capsys, tmp_path):
    small = mistake(capsys, "--config", STRIDED, "--size", 8, 8, "--config.model.padding=REFLECT")
    assert small.startswith("error: the image is too small: stage3/block1/conv gets a map of 1 x 1: padding REFLECT")
    assert "config.model.strides[1] empties the map" in mistake(capsys, "--config", STRIDED, "--size", 2, 2)
    haar = mistake(capsys, "--config", STRIDED, "--config.model.downsample=haar_low", "--config.model.strides=(1,3,3)")
    assert haar == "error: config.model: HaarLow: stride must be one of (1, 2) on each axis, got (3, 3)\n"
    assert "size must be an int >= 1" in mistake(capsys, "--config", STRIDED, "--size", 0, 32)
    assert "max_pol" in mistake(capsys, "--config", STRIDED, "--config.model.downsample=max_pol")


@pytest.mark.parametrize("name", ["fields.xyz", "nowhere/fields.png"])
def test_a_picture_that_cannot_be_written(capsys, tmp_path, name):
    with pytest.raises(SystemExit) as stopped:
        main(["inspect", "--config", STRIDED, "--json", "--plot", str(tmp_path / name)])
    assert stopped.value.code == 2
    assert f"{name}: " in capsys.readouterr().err
