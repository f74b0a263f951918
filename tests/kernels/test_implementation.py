"""Which formulation runs: asked for, by default, and where only JAX's own can."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from strideflax import conv
from strideflax.kernels.implementation import resolve_implementation, use_implementation


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


# The functions on arrays that are spread over two devices, as JAX's types say, against the whole arrays on one.
PLACED = """
import jax, jax.numpy as jnp, numpy as np
from functools import partial
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from strideflax import avg_pool, blur_pool, conv, max_pool

random = np.random.default_rng(0)
x, kernel = (jnp.asarray(random.normal(size=s), jnp.float32) for s in ((4, 8, 8, 4), (3, 3, 4, 4)))
functions = {
    "conv": lambda x, kernel: conv(x, kernel, stride=2),
    "max_pool": lambda x, kernel: max_pool(x, 2) * kernel[0, 0, 0],
    "avg_pool": lambda x, kernel: avg_pool(x, 3, stride=2, padding=1) * kernel[0, 0, 0],
    "blur_pool": lambda x, kernel: blur_pool(x, 3) * kernel[0, 0, 0],
}
alone = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))
told = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Explicit,))
split, whole = P("batch"), P()
for name, function in functions.items():
    loss = lambda x, kernel: (function(x, kernel) ** 2).sum()
    right = jax.grad(loss, (0, 1))(x, kernel)
    mapped = partial(jax.shard_map, mesh=alone, in_specs=(split, whole))
    found = {
        "inside": mapped(jax.grad(loss, (0, 1)), out_specs=(split, whole))(x, kernel),
        "outside": jax.grad(mapped(lambda x, k: jax.lax.psum(loss(x, k), "batch"), out_specs=whole), (0, 1))(x, kernel),
    }
    with jax.set_mesh(told):
        found["explicit"] = jax.grad(loss, (0, 1))(
            jax.device_put(x, NamedSharding(told, split)), jax.device_put(kernel, NamedSharding(told, whole))
        )
    for where, gradients in found.items():
        for one, other in zip(gradients, right):
            np.testing.assert_allclose(np.asarray(one), other, rtol=1e-4, atol=1e-4, err_msg=f"{name} {where}")
with jax.set_mesh(told):
    try:
        max_pool(jax.device_put(x, NamedSharding(told, split)), 2, implementation="slices")
    except ValueError as error:
        print(error)
"""


def test_arrays_whose_types_say_how_they_lie_on_a_mesh():
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", PLACED], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("implementation 'slices' can't run where JAX's types say how arrays lie on a mesh")


def lowered_for(platform: str, function, *arrays) -> str:
    """Return the program for that platform, of which there need not be a device here."""
    return jax.jit(function).trace(*arrays).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize(
    ("case", "shape", "kernel", "how", "in_xla"),
    [
        ("2-D", (2, 8, 8, 16), (3, 3, 16, 16), {}, True),
        ("2-D, 1 x 1", (2, 8, 8, 16), (1, 1, 16, 16), {}, True),
        ("2-D, thin", (2, 8, 8, 3), (3, 3, 3, 16), {}, True),
        ("2-D, odd window", (2, 9, 9, 16), (5, 5, 16, 16), {"padding": 2}, True),
        ("2-D, dilated", (2, 8, 8, 16), (3, 3, 16, 16), {"dilation": 2}, False),
        ("2-D, grouped", (2, 8, 8, 16), (3, 3, 4, 16), {"groups": 4}, False),
        ("1-D", (2, 8, 16), (3, 16, 16), {}, False),
        ("3-D", (2, 8, 8, 8, 16), (3, 3, 3, 16, 16), {}, False),
    ],
)
def test_what_auto_leaves_to_xla_on_a_gpu(case, shape, kernel, how, in_xla):
    """XLA's own input gradient reads a map with zeros between its pixels; taps and phases have no such map."""
    arrays = jax.ShapeDtypeStruct(shape, "float32"), jax.ShapeDtypeStruct(kernel, "float32")

    def gradients(x, kernel):
        return jax.grad(lambda x, kernel: (conv(x, kernel, stride=2, **how) ** 2).sum(), (0, 1))(x, kernel)

    def has_zeros_between(text):
        return "lhs_dilate = [2" in text or "lhs_dilation = array<i64: 2" in text

    assert has_zeros_between(lowered_for("cuda", gradients, *arrays)) is in_xla
    assert has_zeros_between(lowered_for("rocm", gradients, *arrays)) is in_xla
    assert not has_zeros_between(lowered_for("tpu", gradients, *arrays))


@pytest.mark.parametrize("name", ["taps", "phases", "lax"])
def test_a_gpu_runs_the_formulation_that_is_asked_for(name):
    arrays = jnp.ones((2, 8, 8, 16)), jnp.ones((3, 3, 16, 16))

    def gradient(x, kernel):
        return jax.grad(lambda x: (conv(x, kernel, stride=2, implementation=name) ** 2).sum())(x)

    text = lowered_for("cuda", gradient, *arrays)
    assert ("dot_general" in text) is (name == "taps")
    assert ("lhs_dilate = [2" in text or "lhs_dilation = array<i64: 2" in text) is (name == "lax")
