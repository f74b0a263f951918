"""What a command answers to a mistake."""

import pytest

from strideflax.__main__ import main


def mistake(capsys: pytest.CaptureFixture, *words: object) -> str:
    """Return the one line with which ``words`` are refused."""
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    said = capsys.readouterr()
    assert stop.value.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err
