import argparse

import numpy as np
import pytest
from PIL import Image

from strideflax.commands import data as command
from strideflax.config import DataConfig
from strideflax.data import DataError, load_dataset


def run(*argv: str) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.main(parser.parse_args(argv))


def test_says_what_would_be_used_and_where_files_go(cifar10, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    folder = cifar10.binary(tmp_path / "data")
    run("--dir", str(folder), "--val-count", "3")
    shown = capsys.readouterr().out
    config = DataConfig(name="cifar10", dir=str(folder), val_count=3)
    for part in (
        "cifar10",
        f"files in {folder}",
        "17 train, 3 validation, 4 test",
        load_dataset(config).fingerprint,
        "--config.data.dir=DIR",
        str(tmp_path / "tfds" / "downloads" / "manual" / "cifar-10-binary.tar.gz"),
    ):
        assert part in shown


def test_shapes(capsys):
    run("--name", "shapes")
    assert "9,000 train, 1,000 validation, 2,000 test" in capsys.readouterr().out


def test_nothing_there_is_the_users_mistake(tmp_path):
    with pytest.raises(DataError, match="no CIFAR-10 in"):
        run("--dir", str(tmp_path))


def test_a_folder_of_one_s_own(tmp_path, capsys):
    random = np.random.default_rng(0)
    for name, count in (("cat", 20), ("dog", 10)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(count):
            image = Image.fromarray(random.integers(0, 256, (12, 12, 3), np.uint8))
            image.save(tmp_path / "pets" / name / f"{i}.png")
    (tmp_path / "pets" / "dog" / "notes.txt").write_text("text")
    with pytest.raises(DataError, match=r"mend or remove, or leave out with --skip-unreadable$"):
        run("--name", "folder", "--dir", str(tmp_path / "pets"))
    run("--name", "folder", "--dir", str(tmp_path / "pets"), "--size", "16", "--skip-unreadable")
    shown = capsys.readouterr().out
    for part in (
        "name        pets (folder)\n",
        "1 file left out",
        "images      22 train, 2 validation, 6 test\n",
        "size        16 x 16 pixels, in colour\n",
        "classes     cat (15), dog (7) training images\n",
    ):
        assert part in shown
