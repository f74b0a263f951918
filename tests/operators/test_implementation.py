import jax.numpy as jnp
import pytest

from strideflax import conv
from strideflax.operators.implementation import resolve_implementation, use_implementation


def test_the_default_is_auto():
    assert resolve_implementation(None, ("auto", "taps")) == "auto"


def test_a_request_wins_over_the_default():
    with use_implementation("lax"):
        assert resolve_implementation(None, ("auto", "lax")) == "lax"
        assert resolve_implementation("taps", ("auto", "taps")) == "taps"
    assert resolve_implementation(None, ("auto", "lax")) == "auto"


def test_the_environment_sets_a_process_s_default(monkeypatch):
    monkeypatch.setenv("STRIDEFLAX_IMPLEMENTATION", "lax")
    assert resolve_implementation(None, ("auto", "lax")) == "lax"
    with use_implementation("auto"):
        assert resolve_implementation(None, ("auto", "lax")) == "auto"
    monkeypatch.setenv("STRIDEFLAX_IMPLEMENTATION", "quick")
    with pytest.raises(ValueError, match="STRIDEFLAX_IMPLEMENTATION must be one of auto, lax, got 'quick'"):
        resolve_implementation(None, ("auto", "lax"))


def test_unknown_names_are_refused():
    with (
        pytest.raises(ValueError, match="implementation must be one of auto, lax, got 'taps'"),
        use_implementation("taps"),
    ):
        pass
    with pytest.raises(ValueError, match="implementation must be one of auto, lax, native, taps, phases, got 'cudnn'"):
        conv(jnp.ones((1, 4, 1)), jnp.ones((1, 1, 1)), implementation="cudnn")
    with pytest.raises(ValueError, match="implementation 'taps' takes one group, got groups=2"):
        conv(jnp.ones((1, 4, 2)), jnp.ones((1, 1, 2)), groups=2, implementation="taps")
