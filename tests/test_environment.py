import os
import platform

import jax

from strideflax.environment import describe_device, versions
from strideflax.wording import counted


def test_a_cpu_is_named_with_the_cores_that_this_process_may_use():
    words = describe_device()
    assert words.startswith("cpu, ")
    if hasattr(os, "sched_getaffinity"):
        assert f", {counted(len(os.sched_getaffinity(0)), 'core')}, " in words


def test_versions_are_those_that_run():
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["jax"] == jax.__version__
    assert set(found) == {"python", "jax", "jaxlib", "flax", "optax", "numpy", "strideflax", "onednn"}
