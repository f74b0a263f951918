import pytest

from strideflax.measuring.cost import operator_cost


def test_an_operator_is_timed_forward_and_backward():
    row = operator_cost("strided_conv", (2, 8, 6, 3), stride=2, repeats=3)
    assert row["operator"] == "strided_conv"
    assert row["output_shape"] == [2, 4, 3, 3]
    assert row["params"] == 81
    for part in ("forward", "forward_backward"):
        times = row[part]
        assert 0 < times["low_quartile_ms"] <= times["median_ms"] <= times["high_quartile_ms"]
        assert times["compile_seconds"] > 0


@pytest.mark.parametrize("name", ["lps", "stochastic_pool"])
def test_adaptive_and_random_operators_get_their_phase_and_key(name):
    assert operator_cost(name, (2, 4, 4, 2), repeats=1)["output_shape"] == [2, 2, 2, 2]


def test_an_unknown_operator_is_named():
    with pytest.raises(ValueError, match="unknown downsampling operator 'pool'"):
        operator_cost("pool", (1, 4, 4, 1))
