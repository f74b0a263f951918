import time
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from strideflax.measuring.timing import call_seconds, compile_call, peak_memory, spread


def test_warm_up_calls_run_and_do_not_count():
    calls = []

    def call():
        calls.append(0.05 if len(calls) < 2 else 0.0)
        time.sleep(calls[-1])

    seconds = call_seconds(call, repeats=5, warmup=2)
    assert len(calls) == 7
    assert seconds.shape == (5,)
    assert np.all(seconds < 0.04)


def test_a_call_is_timed_until_its_result_is_ready():
    class Slow:
        def block_until_ready(self):
            time.sleep(0.02)
            return self

    assert np.all(call_seconds(Slow, repeats=2, warmup=0) >= 0.02)


def test_the_spread_is_median_and_quartiles_in_milliseconds():
    expected = {"median_ms": 3.0, "low_quartile_ms": 2.0, "high_quartile_ms": 4.0}
    assert spread(np.array([5, 1, 2, 4, 3]) / 1000) == pytest.approx(expected)


def test_peak_memory_says_where_it_comes_from():
    x = jnp.ones((100, 10))
    compiled, seconds = compile_call(lambda x: x * 2, x)
    assert seconds > 0
    assert np.array_equal(compiled(x), 2 * x)
    planned = peak_memory(compiled, SimpleNamespace(memory_stats=lambda: None))
    assert planned["bytes"] >= 8000
    assert planned["source"].startswith("XLA's memory analysis")
    counted = peak_memory(compiled, SimpleNamespace(memory_stats=lambda: {"peak_bytes_in_use": 77}))
    assert counted["bytes"] == 77
    assert counted["source"].startswith("device statistics")
    neither = SimpleNamespace(memory_analysis=lambda: None)
    assert peak_memory(neither, SimpleNamespace(memory_stats=lambda: {}))["bytes"] is None
