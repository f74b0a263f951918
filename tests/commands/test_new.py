"""What `strideflax new` writes is understood and runs as it stands; each example in the config's comments is a valid line."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from commands.answers import mistake
from training.conftest import TINY

from strideflax.__main__ import main
from strideflax.config_file import read_config, read_sweep


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a new experiment's folder, which is the current one."""
    main(["new", str(tmp_path / "my experiment")])
    monkeypatch.chdir(tmp_path / "my experiment")
    return tmp_path / "my experiment"


def test_the_config_and_the_sweep_are_read(experiment):
    assert read_config("configs/mine.py:quick").model.downsample == "blur_pool"
    runs = read_sweep("configs/sweep.py:quick")
    assert len({config.fingerprint for _, config in runs}) == 15
    assert runs[0][1].data.name == "shapes"


def test_every_commented_field_is_one_that_may_be_set(experiment):
    path = experiment / "configs/mine.py"
    lines = path.read_text().splitlines()
    examples = [line for line in lines if line.startswith("    # config.")]
    assert len(examples) > 10
    path.write_text("\n".join(line.replace("    # config.", "    config.") for line in lines))
    changed = read_config("configs/mine.py").differences(read_config("configs/blurpool.py"))
    assert len(changed) == len(examples)


def test_the_notebook_runs(experiment, monkeypatch, capsys):
    path = experiment / "configs/mine.py"
    tiny = [f"    config.{name} = {value!r}" for name, value in TINY.items()]
    path.write_text(path.read_text().replace("\n    return config", "\n".join(["", *tiny, "    return config"])))
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    names = {}
    for cell in json.loads((experiment / "results.ipynb").read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]).replace("images=200", "images=5"), names)
    said = capsys.readouterr().out
    assert "blur_pool: " in said
    assert "no sweep yet" in said


def test_a_folder_with_something_in_it_is_left_as_it_is(tmp_path, capsys):
    (tmp_path / "notes").write_text("mine")
    assert mistake(capsys, "new", tmp_path).startswith(f"error: {tmp_path} is not empty;")
    assert mistake(capsys, "new", tmp_path / "notes").startswith(f"error: {tmp_path / 'notes'} is a file;")
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_an_empty_folder_is_taken(tmp_path, capsys):
    main(["new", str(tmp_path)])
    assert "configs/mine.py: one network" in capsys.readouterr().out
    assert (tmp_path / "results.ipynb").is_file()
