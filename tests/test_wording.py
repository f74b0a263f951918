import doctest

import pytest

from strideflax import wording
from strideflax.wording import counted, duration


def test_the_examples_hold():
    assert doctest.testmod(wording) == doctest.TestResults(0, 1)


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
