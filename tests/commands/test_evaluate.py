import json

from commands import answers

from configs.baseline import baseline
from strideflax.commands.evaluate import _in_words


def mistake(capsys, *words):
    return answers.mistake(capsys, "evaluate", *words)


def half_written(folder):
    (folder / "config.json").write_text(json.dumps(baseline("quick").to_dict()))
    return folder


def test_a_missing_folder(capsys, tmp_path):
    assert "has no result.json" in mistake(capsys, tmp_path / "nowhere")


def test_a_half_written_run(capsys, tmp_path):
    assert "not a finished run" in mistake(capsys, half_written(tmp_path))


def test_a_run_that_failed(capsys, tmp_path):
    (half_written(tmp_path) / "result.json").write_text('{"status": "diverged"}')
    assert "did not finish (status 'diverged')" in mistake(capsys, tmp_path)


def test_a_run_whose_weights_are_gone(capsys, tmp_path):
    (half_written(tmp_path) / "result.json").write_text('{"status": "finished", "steps": 1}')
    said = mistake(capsys, tmp_path)
    assert "can't be restored: it has no weights, as runs in a file of results have none" in said


def test_a_value_of_nothing_is_said_in_words():
    assert [_in_words(value) for value in (None, 0.12345, 3)] == ["none such", "0.1235", "3"]


def test_foreign_folders(capsys, tmp_path):
    (half_written(tmp_path) / "result.json").write_text("accuracy: 0.9")
    assert "can't be read as JSON" in mistake(capsys, tmp_path)
    (tmp_path / "result.json").write_text('{"status": "finished"}')
    (tmp_path / "config.json").write_text('{"lr": 0.1}')
    assert "config.lr does not exist" in mistake(capsys, tmp_path)


def test_a_wrong_measure_lists_all(capsys, tmp_path):
    error = mistake(capsys, tmp_path, "--measures", "calibration,speed")
    assert "unknown measure 'speed'; known: calibration, shift_consistency, aliasing, detail, robustness" in error


def test_a_wrong_number_of_images(capsys, tmp_path):
    assert "--images: must be an int >= 1, got '-5'" in mistake(capsys, tmp_path, "--images", "-5")
