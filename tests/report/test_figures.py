import re

import numpy as np
import pytest
from made_runs import accuracies

from strideflax.analysis.ablation import read_ablation
from strideflax.report.canvas import percent_limits
from strideflax.report.figures import draw_accuracy, draw_seeds, pareto_front


def test_pareto_front_by_hand():
    cost, gain = np.array([1, 2, 2, 3, 4]), np.array([5, 7, 6, 7, 9])
    # (2, 6) has an equal in cost and a better in gain, (3, 7) one that costs less for as much
    assert pareto_front(cost, gain).tolist() == [True, True, False, False, True]


@pytest.mark.parametrize("draw", [draw_accuracy, draw_seeds])
def test_no_axis_of_accuracies_goes_below_0_or_above_100_percent(draw):
    ablation = read_ablation(accuracies({"strided_conv": [0.02, 0.9], "a": [0.99, 1.0]}))
    ticks = [float(text) for text in re.findall(r"<text[^>]*>(\d+(?:\.\d+)?)</text>", draw(ablation).svg)]
    assert len(ticks) > 3
    assert 0 <= min(ticks) < max(ticks) <= 100


def test_an_axis_of_percent_ends_at_0_and_100():
    assert percent_limits((-3.0, 104.0)) == (0, 100)
    assert percent_limits((81.0, 84.5)) == (81.0, 84.5)
