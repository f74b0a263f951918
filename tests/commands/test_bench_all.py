"""`bench all` does each part in a process of its own, by the part's own command, and goes on where one fails."""

import json

import pytest

from strideflax.__main__ import main
from strideflax.benchmark.axes import AXES
from strideflax.commands import bench_all
from strideflax.commands.command_line import program_parser

PARTS = ["against", "overhead", *(f"scaling_{axis}" for axis in AXES)]


@pytest.fixture
def parts(monkeypatch):
    """Return a list of the words of each part, which is recorded in place of its process; `fail` names exit statuses."""

    class Parts(list):
        fail: dict[str, int] = {}  # noqa: RUF012, of this one object

    found = Parts()

    def run_part(words):
        found.append(words)
        return found.fail.get(words[words.index("--out") + 1].rpartition("/")[2].removesuffix(".json"), 0)

    monkeypatch.setattr(bench_all, "run_part", run_part)
    return found


def test_every_part_writes_into_the_folder(parts, tmp_path):
    main(["bench", "all", "--rounds", "2", "--out", str(tmp_path / "v1.2"), "--config.seed=3"])
    assert [words[words.index("--out") + 1] for words in parts] == [
        str(tmp_path / "v1.2" / f"{name}.json") for name in PARTS
    ]
    assert [words[:2] for words in parts[2:]] == [["scaling", axis] for axis in AXES]
    for words in parts:
        assert words[words.index("--rounds") + 1] == "2"
        assert "--config.seed=3" in words
        parsed = program_parser().parse_args(["bench", *[word for word in words if not word.startswith("--config.")]])
        assert parsed.out == tmp_path / "v1.2" / words[words.index("--out") + 1].rpartition("/")[2]
    assert (tmp_path / "v1.2").is_dir()


def test_what_fails_is_told_at_the_end_and_the_rest_is_done(parts, tmp_path, capsys):
    parts.fail = {"scaling_devices": 2, "against": 1}
    with pytest.raises(SystemExit) as stop:
        main(["bench", "all", "--out", str(tmp_path / "figures")])
    assert stop.value.code == 1
    assert len(parts) == len(PARTS)
    assert (tmp_path / "figures").is_dir()
    assert "see above: against, scaling_devices" in capsys.readouterr().out


def test_a_mistake_ends_it_at_once(parts, tmp_path):
    parts.fail = {"against": 2}
    with pytest.raises(SystemExit) as stop:
        main(["bench", "all", "--out", str(tmp_path)])
    assert stop.value.code == 2
    assert len(parts) == 1


def test_a_part_is_a_real_process(tmp_path):
    out = tmp_path / "part.json"
    words = ["operators", "subsample", "--shape", "2,4,4,3", "--repeats", "2", "--out", str(out)]
    assert bench_all.run_part(words) == 0
    assert json.loads(out.read_text())["operators"][0]["operator"] == "subsample"
    assert bench_all.run_part(["operators", "nothing"]) == bench_all.MISTAKE
