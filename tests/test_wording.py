import doctest

import pytest

from strideflax import wording
from strideflax.wording import counted, duration, stands_for, written


def test_the_examples_hold():
    assert doctest.testmod(wording) == doctest.TestResults(0, 4)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 runs"), (1, "1 run"), (1.0, "1 run"), (2, "2 runs"), (1.5, "1.5 runs"), (1e6, "1,000,000 runs")],
)
def test_one_alone_is_singular(number, text):
    assert counted(number, "run") == text


def test_a_plural_of_its_own():
    assert counted(2, "box", "boxes") == "2 boxes"
    assert counted(1, "box", "boxes") == "1 box"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h")]
)
def test_lengths_of_time(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("max_pool", "max_pool", True), ("0.10", 0.1, True), ("1e-1", 0.1, True), ("4", 4.0, True), ("4.0", 4, True),
        ("max", 0.1, False), ("1", True, False), ("True", True, True), ("false", False, True), ("None", None, True),
        ("0", None, False), ("[1, [2, 1]]", (1, (2, 1)), True), ("(1,2)", (1, 2), True), ("(1,2)", (1, 3), False),
    ],
)  # fmt: skip
def test_a_word_of_the_command_line_stands_for_a_value(text, value, expected):
    assert stands_for(text, value) is expected


def test_values_are_written_without_needless_decimals():
    assert [written(value) for value in (4.0, 0.1, 8, "SAME", (1, 2))] == ["4", "0.1", "8", "SAME", "(1, 2)"]
