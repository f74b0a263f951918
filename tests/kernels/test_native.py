"""oneDNN's convolutions inside XLA's programs, against XLA's own. The suite's platform has them: x86-64 Linux."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from strideflax import conv
from strideflax.kernels import native, onednn
from strideflax.window import Window

# size, window, stride, padding, dilation, groups, in_channels, out_channels
CASES = [
    ((12,), (3,), 2, "SYMMETRIC", 1, 1, 8, 16),
    ((9, 10), (3, 3), 1, "SAME", 1, 1, 16, 16),
    ((9, 10), (3, 3), 2, "SYMMETRIC", 1, 1, 16, 32),
    ((16, 16), (7, 7), 2, "SYMMETRIC", 1, 1, 3, 16),
    ((9, 10), (1, 1), 2, "VALID", 1, 1, 16, 32),
    ((9, 10), (3, 5), (2, 1), ((1, 0), (2, 3)), 1, 1, 5, 7),
    ((11, 10), (3, 3), 1, "SYMMETRIC", 2, 1, 8, 8),
    ((9, 10), (3, 3), 2, "SYMMETRIC", 1, 4, 16, 16),
    ((8, 8), (3, 3), 1, "SYMMETRIC", 1, 16, 16, 16),
    ((5, 6, 7), (3, 3, 3), 2, "SYMMETRIC", 1, 1, 4, 8),
    ((1, 1), (3, 3), 2, "SYMMETRIC", 1, 1, 8, 8),
    ((6, 9), (2, 4), 2, ((1, 1), (0, 0)), 1, 1, 4, 4),  # XLA's gradient of this one aborts the process
]


def programs(compiled):
    """Return how many calls to oneDNN a compiled function makes."""
    return compiled.as_text().count('custom_call_target="strideflax.')


def three(how, x, kernel, g, **geometry):
    """Return the convolution and both gradients as one compiled function of (x, kernel, g)."""

    def values(x, kernel, g):
        y, pull = jax.vjp(lambda x, kernel: conv(x, kernel, implementation=how, **geometry), x, kernel)
        return y, *pull(g)

    return jax.jit(values).lower(x, kernel, g).compile()


def test_onednn_is_installed_with_the_package():
    assert onednn.version() is not None, "the tests of native convolutions need the package onednn-cpu-gomp"


@pytest.mark.parametrize("how", ["native", "auto"])  # which differ in the gradient of an input of few channels
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)).replace(" ", ""))
def test_values_and_gradients_are_those_of_taps_and_phases(case, how, random):
    size, window, stride, padding, dilation, groups, inputs, outputs = case
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    x = jnp.asarray(random.normal(size=(3, *size, inputs)), jnp.float32)
    kernel = jnp.asarray(random.normal(size=(*window, inputs // groups, outputs)), jnp.float32)
    shape = jax.eval_shape(lambda x, kernel: conv(x, kernel, **geometry), x, kernel).shape
    g = jnp.asarray(random.normal(size=shape), jnp.float32)
    ours = three(how, x, kernel, g, **geometry)
    theirs = three("phases", x, kernel, g, **geometry)
    small_product = window == (1, 1) and how == "auto"  # whose forward XLA does
    refused = case == CASES[-1] and how == "auto"  # one of its gradients: oneDNN would take a kernel that is not known
    assert programs(ours) == 3 - small_product - refused
    assert programs(theirs) == 0
    for one, other in zip(ours(x, kernel, g), theirs(x, kernel, g), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize(
    ("batch", "dtype", "expected"), [(255, "float32", 0), (256, "float32", 1), (255, "bfloat16", 1)]
)
def test_a_strided_product_of_few_pixels_in_float32_is_xlas(batch, dtype, expected):
    x, kernel = jnp.ones((batch, 8, 8, 16), dtype), jnp.ones((1, 1, 16, 32), dtype)  # 16 outputs per image
    assert programs(jax.jit(lambda x, kernel: conv(x, kernel, stride=2)).lower(x, kernel).compile()) == expected
    assert programs(jax.jit(lambda x, kernel: conv(x, kernel)).lower(x, kernel).compile()) == 1


def test_a_strided_product_of_few_pixels_and_many_channels_is_onednn_s():
    x, kernel = jnp.ones((16, 8, 8, 1024)), jnp.ones((1, 1, 1024, 512))  # 256 pixels, 2^27 multiply-adds
    assert programs(jax.jit(lambda x, kernel: conv(x, kernel, stride=2)).lower(x, kernel).compile()) == 1


def test_a_strided_product_has_its_pixels_picked_out_for_onednn(random):
    """It would write beyond its memory."""
    x, g = (jnp.asarray(random.normal(size=s), jnp.float32) for s in ((2, 8, 9, 16), (2, 4, 3, 32)))
    kernel = jax.ShapeDtypeStruct((1, 1, 16, 32), jnp.float32)
    for pads in (((0, 0), (0, 0)), ((0, 1), (0, 0))):
        window = Window.dense((1, 1), pads=pads).at_stride((2, 3))
        call = native.kernel("kernel_gradient", x, g, kernel, window, 1)
        found = jax.jit(call).lower(x, g).compile()
        assert found.as_text().count('custom_call_target="strideflax.') == 1
        expected = np.einsum("bhwi,bhwo->io", x[:, ::2, ::3], g)
        np.testing.assert_allclose(found(x, g)[0, 0], expected, rtol=1e-5, atol=1e-5)
    padded = Window.dense((1, 1), pads=((1, 1), (0, 0))).at_stride((2, 3))
    assert native.kernel("kernel_gradient", x, jnp.ones((2, 5, 3, 32)), kernel, padded, 1) is None


def test_taps_in_the_padding_have_no_gradient_in_bfloat16(random):
    x, kernel = (jnp.asarray(random.normal(size=s), jnp.bfloat16) for s in ((1, 1, 32), (7, 8, 192)))
    gradient = jax.grad(lambda k: conv(x, k, stride=3, padding=((5, 2),), groups=4).sum())(kernel)
    np.testing.assert_array_equal(
        jnp.delete(gradient, 5, axis=0, assume_unique_indices=True)[jnp.array([0, 1, 3, 4])], 0
    )


def test_bfloat16_is_summed_in_float32(random):
    x, kernel = random.normal(size=(2, 8, 8, 64)), random.normal(size=(3, 3, 64, 16))
    x, kernel = (np.asarray(jnp.asarray(a, jnp.bfloat16), np.float32) for a in (x, kernel))
    y = conv(jnp.asarray(x, jnp.bfloat16), jnp.asarray(kernel, jnp.bfloat16), stride=2)
    assert y.dtype == jnp.bfloat16
    exact = conv(x, kernel, stride=2, implementation="lax")
    np.testing.assert_allclose(np.asarray(y, np.float32), exact, rtol=2**-8, atol=1e-3)


@pytest.mark.parametrize(("window", "stride"), [(3, 2), (1, 2), (1, 1)])
def test_bfloat16_gradients_without_onednn_are_summed_in_float32(window, stride, monkeypatch, random):
    monkeypatch.setattr(native.onednn, "version", lambda: None)
    jax.clear_caches()
    x, kernel = (jnp.asarray(random.normal(size=s), jnp.bfloat16) for s in ((16, 16, 16, 32), (window, window, 32, 16)))

    def shrink(x, kernel):
        return conv(x, kernel, stride=stride, padding="SYMMETRIC")

    y, pull = jax.vjp(shrink, x, kernel)
    g = jnp.abs(jnp.asarray(random.normal(size=y.shape), jnp.bfloat16))
    found = pull(g)
    exact = jax.vjp(shrink, x.astype(jnp.float32), kernel.astype(jnp.float32))[1](g.astype(jnp.float32))
    for one, other in zip(found, exact, strict=True):
        error = np.asarray(one, np.float32) - other
        assert np.sqrt(np.mean(error**2) / np.mean(other**2)) < 2**-9  # one rounding's; sums in bfloat16 have 2**-6
    jax.clear_caches()


def test_a_vmapped_convolution_is_native_too(random):
    x, kernel = (jnp.asarray(random.normal(size=s), jnp.float32) for s in ((3, 2, 8, 8, 4), (3, 3, 3, 4, 8)))
    mapped = jax.jit(jax.vmap(lambda x, kernel: conv(x, kernel, stride=2))).lower(x, kernel).compile()
    assert programs(mapped) == 1
    for one, a, b in zip(mapped(x, kernel), x, kernel, strict=True):
        np.testing.assert_allclose(one, conv(a, b, stride=2, implementation="lax"), rtol=1e-5, atol=1e-5)


def test_float64_is_xla_s():
    with jax.enable_x64(True):
        x, kernel = np.ones((1, 4, 4, 2)), np.ones((3, 3, 2, 2))
        assert programs(jax.jit(conv).lower(x, kernel).compile()) == 0
        with pytest.raises(ValueError, match="implementation 'native' can't compute float64"):
            conv(x, kernel, implementation="native")


def test_an_empty_batch_is_xla_s():
    assert conv(jnp.ones((0, 4, 4, 2)), jnp.ones((3, 3, 2, 2))).shape == (0, 4, 4, 2)


def test_without_the_library_xla_computes_the_same(monkeypatch, random):
    x, kernel = (jnp.asarray(random.normal(size=s), jnp.float32) for s in ((2, 7, 6, 4), (3, 3, 4, 5)))
    native_y = conv(x, kernel, stride=2)
    jax.clear_caches()
    monkeypatch.setattr(native.onednn, "version", lambda: None)
    compiled = jax.jit(lambda x, kernel: conv(x, kernel, stride=2)).lower(x, kernel).compile()
    assert programs(compiled) == 0
    np.testing.assert_allclose(compiled(x, kernel), native_y, rtol=1e-5, atol=1e-5)
    jax.clear_caches()


LARGE_WINDOWS = """
import jax, jax.numpy as jnp
from strideflax import conv
for window in (15, 17, 35):
    for inputs, outputs in ((3, 16), (3, 7), (5, 8)):
        x, kernel = jnp.ones((2, 64, 64, inputs)), jnp.ones((window, window, inputs, outputs))
        both = jax.jit(jax.grad(lambda x, kernel: conv(x, kernel, padding=window // 2).sum(), (0, 1)))(x, kernel)
        assert both[0][0, 32, 32, 0] == window**2 * outputs
        assert both[1][window // 2, window // 2, 0, 0] == 2 * 64 * 64
"""


@pytest.mark.parametrize("instruction_set", ["SSE41", "AVX", "AVX2", "AVX512_CORE"])
def test_large_windows_do_not_end_the_process(instruction_set):
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": instruction_set}
    done = subprocess.run([sys.executable, "-c", LARGE_WINDOWS], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_only_kernels_that_were_tried_run():
    assert onednn.is_known("brg_fwd:avx2+brgconv_1x1:avx2", "float32")
    assert onednn.is_known("jit_bf16:avx512_core_bf16", "bfloat16")
    for name in ("x64:gemm:jit", "ref:any", "brg_fwd:avx2+gemm:avx2", "brgconv:avx512_core_amx", ""):
        assert not onednn.is_known(name, "float32")
    assert not onednn.is_known("jit_bf16:avx512_core", "bfloat16")


def test_without_llvmlite_xla_computes_it():
    program = "import sys; sys.modules['llvmlite'] = None\nfrom strideflax import conv\nimport jax.numpy as jnp\n"
    program += "from strideflax.kernels import onednn\n"
    program += "print(onednn.version(), conv(jnp.ones((1, 3, 3, 8)), jnp.ones((3, 3, 8, 8)))[0, 1, 1, 0])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["None", "72.0"], done.stderr


@pytest.mark.parametrize(
    ("asked", "policy", "spins"), [({}, "ACTIVE", "1000"), ({"OMP_WAIT_POLICY": "passive"}, "PASSIVE", "0")]
)
def test_its_threads_wait_awake_for_a_while_unless_told_otherwise(asked, policy, spins):
    program = "import os; from strideflax.kernels import onednn; onednn.version()\n"
    program += "print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))"
    environment = {**os.environ, "OMP_DISPLAY_ENV": "verbose", **asked}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert f"OMP_WAIT_POLICY = '{policy}'" in done.stderr
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr
    assert done.stdout.split() == [asked.get("OMP_WAIT_POLICY", "None"), "None"], "for its child processes"


FIRST_OF_ALL = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
import jax, jax.numpy as jnp
from strideflax import conv
start = Barrier(8)
def trace(n):
    start.wait()
    return float(jax.jit(conv)(jnp.ones((1, 4 + n, 5, 8)), jnp.ones((3, 3, 8, 8)))[0, 1, 1, 0])
with ThreadPoolExecutor(8) as pool:
    print(*pool.map(trace, range(8)))
"""


def test_many_threads_ask_for_it_first():
    """XLA takes the name of a foreign function once."""
    done = subprocess.run([sys.executable, "-c", FIRST_OF_ALL], capture_output=True, text=True)
    assert done.stdout.split() == ["72.0"] * 8, done.stderr


def test_a_symbolic_batch_is_xla_s():
    shape = jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, 8, 8, 3"), jnp.float32)
    exported = jax.export.export(jax.jit(lambda x: conv(x, jnp.ones((3, 3, 3, 4)))))(shape)
    assert exported.call(jnp.ones((5, 8, 8, 3)))[4, 4, 4, 0] == 27


def test_an_exported_program_is_xla_s(random):
    x, kernel = (jnp.asarray(random.normal(size=s), jnp.float32) for s in ((2, 7, 6, 4), (3, 3, 4, 5)))
    gradient = jax.jit(jax.grad(lambda x, kernel: (conv(x, kernel, stride=2) ** 2).sum(), (0, 1)))
    assert programs(gradient.lower(x, kernel).compile()) == 3
    exported = jax.export.export(gradient)(x, kernel)
    assert "custom_call" not in str(exported.mlir_module())
    for one, other in zip(exported.call(x, kernel), gradient(x, kernel), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"'native' can't compute .* no jax\.export"):
        jax.export.export(jax.jit(lambda x, kernel: conv(x, kernel, implementation="native")))(x, kernel)


SERIALIZED = """
import pickle, sys
import jax, jax.numpy as jnp
from jax.experimental import serialize_executable
x, kernel = jnp.ones((2, 8, 8, 16)), jnp.ones((3, 3, 16, 16))
if sys.argv[2] == "save":
    from strideflax import conv
    gradient = jax.grad(lambda x, kernel: conv(x, kernel, stride=2).sum(), (0, 1))
    program = jax.jit(gradient).lower(x, kernel).compile()
    assert program.as_text().count("strideflax") > 1
    pickle.dump(serialize_executable.serialize(program), open(sys.argv[1], "wb"))
else:
    from strideflax.kernels import native
    if sys.argv[2] == "load":
        assert native.load()
    program = serialize_executable.deserialize_and_load(*pickle.load(open(sys.argv[1], "rb")))
print(*(float(array.sum()) for array in program(x, kernel)))
"""


def test_a_serialized_program_runs_in_another_process_or_says_why_not(tmp_path):
    def run(how, **environment):
        command = [sys.executable, "-c", SERIALIZED, str(tmp_path / "program"), how]
        return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)

    saved, loaded = run("save"), run("load")
    assert saved.returncode == loaded.returncode == 0, saved.stderr + loaded.stderr
    assert loaded.stdout == saved.stdout
    assert "No FFI handler registered for strideflax.kernels.native.load()" in run("forget").stderr
    older = run("load", ONEDNN_MAX_CPU_ISA="SSE41")
    assert older.returncode == 1
    assert "takes another kernel here than where this program was compiled: compile it here" in older.stderr


def test_many_threads_share_it(random):
    """A program that runs on several threads at once gives each its own result."""
    kernel = jnp.asarray(random.normal(size=(3, 3, 4, 4)), jnp.float32)
    images = [jnp.asarray(random.normal(size=(2, 12, 12, 4)), jnp.float32) for _ in range(8)]
    f = jax.jit(lambda x: conv(conv(x, kernel), kernel, stride=2))
    expected = [np.asarray(f(x)) for x in images]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            for y, one in zip(pool.map(f, images), expected, strict=True):
                np.testing.assert_array_equal(y, one)


def test_on_several_devices_xla_computes_it():
    program = """
import jax, jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
from strideflax import conv
mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
x = jax.device_put(jnp.ones((4, 8, 8, 3)), NamedSharding(mesh, PartitionSpec("batch")))
compiled = jax.jit(conv).lower(x, jnp.ones((3, 3, 3, 8))).compile()
print(compiled.as_text().count("strideflax."), compiled(x, jnp.ones((3, 3, 3, 8)))[0, 4, 4, 0])
"""
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "27.0"]
