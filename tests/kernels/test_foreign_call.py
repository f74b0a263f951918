"""Lists of calls: what they carry out, in XLA's programs and at once, and how they fail."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from strideflax.kernels import onednn
from strideflax.kernels.foreign_call import LEFT, RESULT, RIGHT, Address, CallList, Failed

TWO = jax.ShapeDtypeStruct((2,), jnp.int32)


def call(calls):
    """Return a function of two arrays, compiled, that carries out ``calls``."""
    return jax.jit(onednn.machine().function_of(calls, TWO))


def test_a_run_reads_its_operands_and_writes_its_result():
    calls = CallList()
    ignored = calls.slot()
    calls.call("run", "memcpy", RESULT, RIGHT, 8, answer=ignored)
    calls.call("run", "memcpy", RESULT, LEFT, 4, answer=ignored)
    np.testing.assert_array_equal(call(calls)(jnp.array([1, 2]), jnp.array([3, 4])), [1, 4])


def test_a_run_has_its_own_slots():
    """A run begins with what "prepare" left, whatever another run did."""
    calls = CallList()
    ignored, count = calls.slot(), calls.numbers(5)
    calls.call("prepare", "memcpy", count, calls.numbers(6), 8, answer=ignored)
    calls.call("run", "memcpy", RESULT, count, 8, answer=ignored)
    calls.call("run", "memcpy", count, LEFT, 8, answer=ignored)
    run = call(calls)
    for _ in range(2):
        np.testing.assert_array_equal(run(jnp.array([8, 9]), jnp.array([3, 4])), [6, 0])


def test_failures_are_errors_of_jax_with_their_text():
    for part in ("prepare", "run"):
        calls = CallList()
        calls.call(part, "strcmp", calls.text(b"one"), calls.text(b"other"))
        with pytest.raises(Exception, match=r"another kernel here .* compile it here \(it says -?\d+\)"):
            call(calls)(jnp.array([1, 2]), jnp.array([3, 4])).block_until_ready()


def test_a_failure_ends_a_part_and_what_was_made_is_released():
    calls = CallList()
    engine = calls.slot()
    calls.call("prepare", "engine_create", Address(engine), 1, 0)
    calls.call("prepare", "engine_create", Address(calls.slot()), 7, 0)  # there is no such kind
    calls.call("prepare", "memcpy", 0, 0, 8, answer=engine)  # never reached: it would be a segmentation fault
    calls.call("release", "engine_destroy", engine)
    with pytest.raises(Failed, match="dnnl_engine_create failed"), onednn.machine().prepared(calls):
        pass


def test_text_is_ended_by_a_zero():
    for text in (b"", b"seven77", b"eight888", b"nine99999"):
        calls = CallList()
        calls.call("prepare", "strcmp", calls.text(text), calls.text(text))
        calls.call("prepare", "strcmp", calls.text(text), calls.text(text + b"x"), answer=(differs := calls.slot()))
        with onednn.machine().prepared(calls) as content:
            assert content(differs)


MANY_PROGRAMS = """
import gc, sys
import jax, jax.numpy as jnp, numpy as np
from strideflax.kernels import onednn
from strideflax.kernels.foreign_call import LEFT, RESULT, CallList
for number in range(61):
    calls = CallList()
    calls.numbers(*np.full(100_000, number).tolist())
    calls.call("run", "memcpy", RESULT, LEFT, 8, answer=calls.slot())
    run = jax.jit(onednn.machine().function_of(calls, jax.ShapeDtypeStruct((2,), jnp.int32)))
    run(jnp.array([1, 2]), jnp.array([3, 4])).block_until_ready()
    del run
    jax.clear_caches()
    gc.collect()
    if number in (20, 60):
        print(open("/proc/self/statm").read().split()[1])
"""


def test_a_list_is_freed_with_its_program():
    """Lists of 0.8 MB in forty programs, one after the other, which JAX, MLIR and XLA copy some times."""
    done = subprocess.run([sys.executable, "-c", MANY_PROGRAMS], capture_output=True, text=True)
    first, last = map(int, done.stdout.split())
    assert (last - first) * 4096 < 16e6, done.stderr
