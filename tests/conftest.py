"""JAX's own checks, on for every test, and the CPU, on which exact values hold."""

import os
from collections.abc import Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_legacy_prng_key", "error")
jax.config.update("jax_debug_key_reuse", True)


@pytest.fixture
def float64() -> Iterator[None]:
    """Let JAX compute in float64, so that a comparison with NumPy leaves no room for a small mistake."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)
