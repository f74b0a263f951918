"""A finished run is used from the command line, without the images that it was trained on."""

import csv
import io

import numpy as np
import pytest
from commands.answers import mistake
from PIL import Image
from training.conftest import TINY

from configs.baseline import baseline
from strideflax.__main__ import main
from strideflax.commands import predict
from strideflax.commands.console import console
from strideflax.config import Config
from strideflax.config_file import override
from strideflax.data.shapes import draw_shapes
from strideflax.training import restore_run, train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    values = baseline("quick").to_dict()
    override(values, TINY | {"epochs": 1.0, "data.stretch": (1, 2)})
    folder = tmp_path_factory.mktemp("runs") / "one"
    train(Config.from_dict(values), folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    """Three drawn images as files: as they are, grey in a folder below, and far larger."""
    images, *_ = draw_shapes(3, seed=9)
    (tmp_path / "photos/below").mkdir(parents=True)
    Image.fromarray(images[0]).save(tmp_path / "photos/a.png")
    Image.fromarray(images[1]).convert("L").save(tmp_path / "photos/below/b [x].PNG")
    Image.fromarray(images[2]).resize((640, 320)).save(tmp_path / "photos/c.jpg")
    (tmp_path / "photos/notes.txt").write_text("no image")
    return tmp_path / "photos", images


def test_csv_has_the_probability_of_every_class(run, photos, capsys, monkeypatch):
    folder, images = photos
    monkeypatch.setattr(predict, "BATCH_SIZE", 2)
    main(["predict", str(run), str(folder), "--csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["image"] for row in rows] == [str(folder / name) for name in ("a.png", "below/b [x].PNG", "c.jpg")]
    restored = restore_run(run)
    logits = np.asarray(restored.predict(images[:1].repeat(2, axis=2)))[0]  # stretched as the run's images are
    expected = np.exp(logits) / np.exp(logits).sum()
    found = [float(rows[0][name]) for name in restored.classes]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len({tuple(row[name] for name in restored.classes) for row in rows}) == 3, "each image its own"
    assert rows[0]["class"] == restored.classes[logits.argmax()]
    assert rows[0]["probability"] == max(rows[0][name] for name in restored.classes)


def test_the_table_has_a_line_per_image_and_the_runners_up(run, photos, capsys, monkeypatch):
    folder, _ = photos
    monkeypatch.setattr(console, "_width", 120)  # whatever other tests of this process have left
    monkeypatch.chdir(folder)
    main(["predict", str(run), "c.jpg", "below"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "%" in line or "probability" in line]
    heading, first, second = lines
    assert heading.split() == ["image", "class", "probability", "next"]
    assert "c.jpg" in first
    assert "b [x].PNG" in second
    assert first.count("%") == 3


def test_a_mistake_is_one_line(run, photos, tmp_path, capsys):
    folder, _ = photos
    (tmp_path / "empty").mkdir()
    notes = folder / "notes.txt"
    assert f"{notes} can't be read as an image: not a JPEG, PNG" in mistake(capsys, "predict", run, notes)
    assert "nothing.jpg does not exist" in mistake(capsys, "predict", run, "nothing.jpg")
    assert "empty holds no image files; expected names" in mistake(capsys, "predict", run, tmp_path / "empty")
    assert "has no result.json" in mistake(capsys, "predict", folder, folder / "a.png")
    assert "invalid choice: 'tflite' (choose from" in mistake(capsys, "export", run, "--to", "tflite")
    assert f"{notes} is a file; choose another --out" in mistake(capsys, "export", run, "--to", "npz", "--out", notes)
    assert "result.json is a file, expected the folder of a run" in mistake(
        capsys, "predict", run / "result.json", notes
    )


def test_export_writes_into_the_run_s_folder_or_where_it_is_told(run, tmp_path, capsys):
    main(["export", str(run), "--to", "npz"])
    assert f"{run / 'exported/weights.npz'}: " in capsys.readouterr().out
    main(["export", str(run), "--to", "torch", "--out", str(tmp_path / "there")])
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["torch_net.py", "weights.safetensors"]
    with np.load(run / "exported/weights.npz") as stored:
        assert stored["head.kernel"].shape == (8, 10)
