"""Files and words of any kind: an answer in one line, never a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from made_runs import result
from reliability.cases import cases

from configs.baseline import baseline
from strideflax import results
from strideflax.config import Config
from strideflax.config_file import read_config
from strideflax.errors import UserError
from strideflax.training.run_folder import check_folder, read_json, read_metrics

SOURCE = Path("configs/stride2.py").read_text()
METRICS = b'{"epoch": 1, "step": 5, "val_loss": 0.5}\n{"epoch": 2, "step": 10, "val_loss": NaN}\n'
RESULT = json.dumps(result()).encode()
NAMES = [f"{g}.{n}" for g, group in baseline().to_dict().items() if isinstance(group, dict) for n in group]
names = st.sampled_from([*NAMES, *baseline().to_dict()]) | st.text(max_size=12)
words = st.text(max_size=12) | st.sampled_from(["1e999", "-1", "()", "(1,", "[[[[", "nan", "None", "{}", "9" * 5000])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def damage(text: bytes) -> st.SearchStrategy[bytes]:
    """Return ``text`` with a few places replaced by something else, or something else altogether."""
    places = st.lists(st.tuples(st.integers(0, len(text)), st.integers(0, 8), st.binary(max_size=4)), max_size=4)

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        changed = text
        for start, length, new in changes:
            changed = changed[:start] + new + changed[start + length :]
        return changed

    return places.map(apply) | st.binary(max_size=60) | st.just(b"[" * 20_000) | st.just(b'{"a":' * 5_000)


def answer(function: Any, *arguments: Any) -> Any:
    """Return what ``function`` returns, or None after a UserError of one line; anything else is a traceback."""
    try:
        return function(*arguments)
    except UserError as error:
        message = str(error)
    assert message
    assert len(message.splitlines()) == 1
    return None


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory) -> Path:
    global FOLDER
    FOLDER = tmp_path_factory.mktemp("fuzz")
    return FOLDER


@cases(800, changes=st.dictionaries(names, words, min_size=1, max_size=4))
def test_overrides(changes):
    config = answer(read_config, "configs/stride2.py:quick", [f"--config.{n}={v}" for n, v in changes.items()])
    assert config is None or isinstance(config, Config)


@cases(800, name=names, value=json_values)
def test_config_values(name, value):
    values = baseline().to_dict()
    *groups, field = name.split(".")
    group = values
    for part in groups:
        group = group.setdefault(part, {}) if isinstance(group, dict) else {}
    if isinstance(group, dict):
        group[field] = value
    answer(Config.from_dict, values)


@cases(600, content=damage(SOURCE.encode()))
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_config_files(content):
    (FOLDER / "fuzzed.py").write_bytes(content)
    answer(read_config, str(FOLDER / "fuzzed.py"))


@cases(700, content=damage(METRICS))
def test_metrics(content):
    (FOLDER / "metrics.jsonl").write_bytes(content)
    for record in read_metrics(FOLDER):
        assert type(record["epoch"]) is type(record["step"]) is int


@cases(500, content=damage(RESULT))
def test_json_files(content):
    (FOLDER / "result.json").write_bytes(content)
    assert isinstance(answer(read_json, FOLDER / "result.json"), dict | None)


@cases(400, content=damage(json.dumps(Config.from_dict(baseline().to_dict()).to_dict()).encode()))
def test_the_config_of_a_run_folder(content):
    (FOLDER / "run").mkdir(exist_ok=True)
    (FOLDER / "run" / "config.json").write_bytes(content)
    answer(check_folder, FOLDER / "run", Config.from_dict(baseline().to_dict()))


@cases(300, content=damage(RESULT), measure=damage(b'{"measure": "cost", "images_per_second": 3}'))
def test_runs_as_a_table(content, measure):
    run = FOLDER / "runs" / "run"
    (run / "measures").mkdir(parents=True, exist_ok=True)
    (run / "result.json").write_bytes(content)
    (run / "measures" / "cost.json").write_bytes(measure)
    assert len(results.load(FOLDER / "runs")) == 1


@cases(300, value=json_values, field=st.sampled_from(sorted(result())))
def test_a_result_with_any_value_in_a_field(value, field):
    run = FOLDER / "odd" / "run"
    run.mkdir(parents=True, exist_ok=True)
    (run / "result.json").write_text(json.dumps(result() | {field: value}))
    (row,) = results.load(FOLDER / "odd").to_dict("records")
    assert not isinstance(row["test_accuracy"], float) or abs(row["test_accuracy"]) != float("inf")


@cases(300, content=damage(b'{"run": "a", "status": "finished", "test_accuracy": 0.5}\n'))
def test_rows_of_results(content):
    (FOLDER / "rows.jsonl").write_bytes(content)
    answer(results.load, FOLDER / "rows.jsonl")
