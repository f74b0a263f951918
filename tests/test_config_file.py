import sys

import pytest

from strideflax.config import ConfigError
from strideflax.config_file import has_sweep, override, read_config, read_sweep


def test_every_config_in_the_folder_is_sound():
    from pathlib import Path

    names = sorted(p.stem for p in Path("configs").glob("*.py") if p.stem != "baseline")
    assert {"stride2", "maxpool", "avgpool", "blurpool", "ablation"} <= set(names)
    for name in names:
        segments = name.startswith("segment")
        assert read_config(f"configs/{name}.py").data.name == ("scenes" if segments else "cifar10")
        assert read_config(f"configs/{name}.py:quick").data.name == ("scenes" if segments else "shapes")
        assert read_config(f"configs/{name}.py:narrow").model.widths == ((16, 32, 32) if segments else (32, 64, 128))


def test_a_config_file_may_lie_anywhere_and_have_variants(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "wide.py").write_text(
        "from configs.baseline import baseline\n"
        "def get_config(arg=None):\n"
        "    config = baseline('quick')\n"
        "    config.seed = int(arg or 5)\n"
        "    return config\n"
    )
    assert read_config(f"{tmp_path}/mine/wide.py").seed == 5
    assert read_config(f"{tmp_path}/mine/wide.py:7").seed == 7


def test_shipped_configs_are_found_from_any_folder(tmp_path, monkeypatch):
    expected = read_config("configs/ablation.py:quick").fingerprint
    monkeypatch.chdir(tmp_path)
    assert read_config("configs/ablation.py:quick").fingerprint == expected
    assert len(read_sweep("configs/ablation.py:quick")) == 80
    with pytest.raises(
        ConfigError, match=r"configs/mine.py does not exist; configs has configs/ablation.py, .*stride2.py"
    ):
        read_config("configs/mine.py")
    with pytest.raises(ConfigError, match=r"ablation.py does not exist; . has no config files; configs/stride2.py is"):
        read_config("ablation.py")


def test_a_configs_folder_of_one_s_own_comes_before_the_shipped_one(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    for name, base in (("stride2", "baseline"), ("again", "stride2_of_mine")):
        (tmp_path / f"configs/{name}.py").write_text(
            f"from configs.{base} import baseline\n"
            "def get_config(arg=None):\n"
            "    config = baseline('quick')\n"
            "    config.seed = 77\n"
            "    return config\n"
        )
    (tmp_path / "configs/stride2_of_mine.py").write_text("from configs.baseline import baseline\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert read_config("configs/stride2.py").seed == read_config("configs/again.py").seed == 77
    assert read_config("configs/maxpool.py").seed == 0
    assert sys.path == before


def test_overrides_are_read_as_the_type_that_they_replace():
    config = read_config(
        "configs/stride2.py",
        [
            "--config.optimizer.learning_rate=1",
            "--config.model.widths=(8, 16, 32)",
            "--config.model.strides=((1, 2), 2, 1)",
            "--config.augment.flip=false",
            "--config.model.downsample=max_pool",
            "--config.data.dir=7",
            "--config.model.stem.pool=none",
            "--config.model.window=0",
            "--config.data.train_count=None",
            "--config.optimizer.clip_norm=1",
            "--config.seed=3",
        ],
    )
    assert config.optimizer.learning_rate == 1.0
    assert config.model.widths == (8, 16, 32)
    assert config.model.strides == ((1, 2), 2, 1)
    assert config.augment.flip is False
    assert config.model.downsample == "max_pool"
    assert config.data.dir == "7"
    assert config.model.stem.pool is config.model.window is config.data.train_count is None
    assert config.optimizer.clip_norm == 1.0
    assert config.seed == 3


@pytest.mark.parametrize(
    ("spec", "words", "message"),
    [
        ("configs/missing.py", [], "configs/missing.py does not exist; configs has .*configs/stride2.py"),
        ("configs/stride2.py:slow", [], "unknown variant 'slow'; known: quick, narrow"),
        ("configs/stride2.py", ["--config.no_such=1"], "config.no_such does not exist; config has model, data"),
        (
            "configs/stride2.py",
            ["--config.model.no=1"],
            "config.model.no does not exist; config.model has stem, widths",
        ),
        ("configs/stride2.py", ["--config.seed.no=1"], "config.seed.no does not exist; config.seed is a single value"),
        ("configs/stride2.py", ["--config.seed"], "an override is written --config.FIELD=VALUE, got '--config.seed'"),
        ("configs/stride2.py", ["--config.seed=1.5"], "config.seed must be int, got 1.5"),
        ("configs/stride2.py", ["--config.optimizer.learning_rate=abc"], "learning_rate must be float, got 'abc'"),
        ("configs/stride2.py", ["--config.optimizer.learning_rate=nan"], "learning_rate must be finite, got nan"),
        ("configs/stride2.py", ["--config.optimizer.learning_rate=-1"], "learning_rate must be a number > 0, got -1.0"),
        ("configs/stride2.py", ["--config.augment.flip=maybe"], "config.augment.flip must be bool, got 'maybe'"),
        ("configs/stride2.py", ["--config.model.downsample=magic"], "'magic'; known: strided_conv, subsample"),
        ("configs/stride2.py", ["--config.model.downsample=max-pool"], "bior33_low; did you mean max_pool\\?$"),
        (
            "configs/stride2.py",
            ["--config.model.widths=(8,)"],
            r"config.model.blocks must be 1 entry, one per entry of model.widths, got",
        ),
        (
            "configs/stride2.py",
            ["--config.data.name=a/own.npz", "--config.data.dir=b"],
            "config.data.dir must be None .*: --config.data.name=b/own.npz$",
        ),
        ("configs/stride2.py", ["--config.model=1"], "config.model must be a group of fields, got '1'|got 1"),
    ],
)
def test_a_mistake_is_told_in_one_line(spec, words, message):
    with pytest.raises(ConfigError, match=message) as error:
        read_config(spec, words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_config(arg=None): return {}", "must return an ml_collections.ConfigDict, got dict"),
        ("x = ", "can't be loaded: SyntaxError"),
        ("import no_such_module_at_all", "can't be loaded: ModuleNotFoundError"),
        ("x = 1", "defines no get_config"),
        ("def get_config(arg=None): return typo", "NameError: name 'typo' is not defined"),
        ("raise SystemExit(3)", "can't be loaded: SystemExit: 3"),
        ("get_config = 3", "TypeError: 3 is not a callable object"),
    ],
)
def test_a_broken_file_is_told_in_one_line(tmp_path, text, message):
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        read_config(f"{tmp_path}/broken.py")
    assert "\n" not in str(error.value)


def test_a_sweep_is_a_list_of_changes_each_with_its_checked_config(tmp_path):
    (tmp_path / "grid.py").write_text(
        "from configs.baseline import baseline as get_config\n"
        "def sweep(arg=None):\n"
        "    for seed in range(2):\n"
        "        yield {'seed': seed, 'model.window': 3, 'model.downsample': 'blur_pool'}\n"
    )
    runs = read_sweep(f"{tmp_path}/grid.py:quick", ["--config.epochs=1"])
    assert [changes["seed"] for changes, _ in runs] == [0, 1]
    assert {config.epochs for _, config in runs} == {1.0}
    assert {config.model.window for _, config in runs} == {3}
    assert len({config.fingerprint for _, config in runs}) == 2


def test_a_sweep_that_names_no_field_is_refused(tmp_path):
    (tmp_path / "grid.py").write_text(
        "from configs.baseline import baseline as get_config\ndef sweep(arg=None):\n    yield {'model.windows': 3}\n"
    )
    with pytest.raises(ConfigError, match=r"config\.model\.windows does not exist"):
        read_sweep(f"{tmp_path}/grid.py:quick")


def test_override_changes_nested_values_in_place():
    values = {"model": {"window": 1, "widths": (2,)}}
    override(values, {"model.window": 5, "data.dir": "here"})
    assert values == {"model": {"window": 5, "widths": (2,)}, "data": {"dir": "here"}}


BASE = "from configs.baseline import baseline\ndef get_config():\n    return baseline('quick')\n"


def test_get_config_may_do_without_variants(tmp_path):
    (tmp_path / "mine.py").write_text(BASE)
    assert read_config(f"{tmp_path}/mine.py").data.name == "shapes"
    with pytest.raises(ConfigError, match=r"get_config\(\) takes no variant, got 'quick'"):
        read_config(f"{tmp_path}/mine.py:quick")


@pytest.mark.parametrize("body", ["return None", "return [3]", "yield 'seed'", "yield {3: 4}", "return 5"])
def test_a_sweep_of_anything_but_dicts_is_told_in_one_line(tmp_path, body):
    (tmp_path / "grid.py").write_text(BASE + f"def sweep(arg=None):\n    {body}\n")
    with pytest.raises(ConfigError, match=r"sweep\(\) must yield dicts such as \{'seed': 1\}, got ") as error:
        read_sweep(f"{tmp_path}/grid.py")
    assert "\n" not in str(error.value)


def test_a_folder_that_no_image_is_read_from_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r"config.data.dir must be None where config.data.name is 'shapes', .* got 'here'"
    ):
        read_config("configs/stride2.py:quick", ["--config.data.dir=here"])


def test_a_sweep_is_told_from_a_run():
    assert has_sweep("configs/ablation.py:quick")
    assert not has_sweep("configs/stride2.py")


def test_a_field_that_a_file_leaves_out_can_be_set_by_an_override(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from configs.baseline import baseline\n"
        "def get_config():\n    config = baseline('quick')\n    del config.model['window']\n"
        "    config.model.downsample = 'max_pool'\n    return config\n"
    )
    assert read_config(f"{tmp_path}/mine.py").model.window is None
    assert read_config(f"{tmp_path}/mine.py", ["--config.model.window=3"]).model.window == 3


def test_the_counts_of_a_file_are_those_of_its_own_data_set():
    own = read_config("configs/stride2.py:quick", ["--config.data.name=folder", "--config.data.test_count=50"]).data
    assert (own.train_count, own.val_count, own.test_count) == (None, None, 50)
    published = read_config("configs/stride2.py:quick", ["--config.data.name=cifar10"]).data
    assert (published.train_count, published.val_count, published.test_count) == (4000, 500, 1000)
