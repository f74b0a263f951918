"""What ``strideflax compare`` refuses, and where a study lies."""

import pytest
from commands.answers import mistake
from commands.endings import CONFIG

from strideflax.__main__ import main
from strideflax.commands.compare import _default_folder
from strideflax.config_file import read_config

PAIR = ("--operators", "strided_conv,max_pool")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("--operators", "strided_conv,maxpool"), "unknown downsampling operator 'maxpool'; known: strided_conv"),
        (("--operators", "strided_conv,blurpol"), "; did you mean blur_pool?"),
        (("--operators", "strided_conv"), "must hold an operator beside the baseline, got strided_conv alone"),
        (("--operators", "blur_pool,max_pool"), "must hold the baseline strided_conv, got blur_pool,max_pool; add it"),
        (("--operators", "strided_conv,aps,aps"), "--operators names aps twice"),
        ((*PAIR, "--minutes", "0"), "argument --minutes: must be a number > 0, got '0'"),
        ((*PAIR, "--minutes", "soon"), "argument --minutes: must be a number > 0, got 'soon'"),
        (
            (*PAIR, "--config.model.downsample=aps"),
            "--operators says which operators are compared; leave out --config.model",
        ),
        ((*PAIR, "--config.epoch=1"), "config.epoch"),
        ((), "the following arguments are required: --operators"),
    ],
)
def test_a_mistake_is_answered_in_a_line(words, answer, capsys, tmp_path):
    assert answer in mistake(capsys, "compare", *CONFIG, *words, "--out", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_runs_that_segment_are_judged_by_something_else(capsys, tmp_path):
    said = mistake(capsys, "compare", "--config", "configs/segment.py:quick", *PAIR, "--out", tmp_path / "out")
    assert "config.task must be 'classify' in a study, which compares accuracies over images, got 'segment'" in said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_refused(capsys, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    said = mistake(capsys, "compare", *CONFIG, *PAIR, "--out", tmp_path)
    assert "is not empty and holds no study (it has no study.json); choose another --out" in said
    assert "is a file" in mistake(capsys, "compare", *CONFIG, *PAIR, "--out", tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("--config.batch_size=100",), "config.batch_size must be at most the 80 training images, got 100"),
        (("--minutes", "0.001"), "the time was up while the first steps were timed; give more --minutes"),
    ],
)
def test_a_study_that_cannot_be_planned_leaves_nothing(words, answer, capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["compare", *CONFIG, *PAIR, *words, "--out", str(tmp_path / "out")])
    said = capsys.readouterr()
    assert stop.value.code == 2
    assert answer in said.err
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_each_question_has_a_folder_of_its_own():
    config = read_config("configs/stride2.py:quick")
    here = _default_folder("configs/stride2.py:quick", config, ("strided_conv", "aps"))
    assert here.parent.name == "runs"
    assert here.name.startswith("compare-stride2-quick-")
    assert here != _default_folder("configs/stride2.py:quick", config, ("strided_conv", "lps"))
