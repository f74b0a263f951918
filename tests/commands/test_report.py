import pytest
from made_runs import write_run

from strideflax.__main__ import main


def report(*words):
    main(["report", *map(str, words)])


@pytest.fixture
def runs(tmp_path):
    for operator in ("strided_conv", "max_pool"):
        write_run(tmp_path / "runs" / operator, operator, 4, 0)
    return tmp_path / "runs"


def test_it_writes_beside_the_runs_and_says_where(runs, capsys):
    report(runs)
    assert f"report in {runs / 'report.html'}; beside it report.md, results.csv and figures/" in capsys.readouterr().out
    assert (runs / "report.md").exists()
    assert (runs / "results.csv").exists()


def test_it_writes_where_it_is_told_and_compares_with_what_it_is_told(runs, tmp_path):
    report(runs, "--out", tmp_path / "there", "--baseline", "max_pool")
    assert "no operator beats max_pool" in (tmp_path / "there/report.md").read_text()
    assert not (runs / "report.html").exists()


def test_a_folder_without_runs_is_one_line_and_exit_code_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        report(tmp_path)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path} holds no runs;")
    assert error.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_one_line_and_exit_code_2(runs, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as stopped:
        report(runs, "--out", tmp_path / "file")
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: can't write the report to {tmp_path / 'file'}")
