"""With which options the library's own programs are compiled, on a platform that there is none of here.

XLA for the CPU takes the options of XLA for a GPU and passes them over, so a process that says it has a GPU compiles and runs
its programs, and what each was compiled with can be read back.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from strideflax import programs
from strideflax.errors import UserError
from strideflax.kernels.implementation import use_implementation
from strideflax.measuring.evaluation import evaluate_run
from strideflax.operators.pool import max_pool
from strideflax.operators.strided import he_normal
from strideflax.process import be_fast
from strideflax.programs import Program, compiled, compiler_options, is_deterministic
from strideflax.training import restore_run, train

DETERMINISTIC = {"xla_gpu_deterministic_ops": True}
ORDER_MATTERS = ("convolution(", "dot(", "reduce(", "reduce-window(", "scatter(", "select-and-scatter(")


@pytest.fixture
def platform(monkeypatch):
    """Return a function that lets JAX say which platform this is; the environment says nothing."""
    monkeypatch.delenv(programs.FAST_NONDETERMINISTIC, raising=False)
    return lambda name: monkeypatch.setattr(jax, "default_backend", lambda: name)


@pytest.fixture
def compilations(monkeypatch):
    """Return a list that every compilation of this process adds (name, options, HLO) to."""
    from jax._src import compiler

    found, compile_or_load = [], compiler.compile_or_get_cached

    def recorded(backend, computation, devices, compile_options, *rest, **more):
        executable = compile_or_load(backend, computation, devices, compile_options, *rest, **more)
        name = computation.operation.attributes["sym_name"].value
        found.append((name, dict(compile_options.env_option_overrides), executable.hlo_modules()[0].to_string()))
        return executable

    monkeypatch.setattr(compiler, "compile_or_get_cached", recorded)
    return found


@pytest.mark.parametrize(
    ("name", "variable", "options", "answer"),
    [
        ("cpu", None, None, None),
        ("cpu", "1", None, None),
        ("tpu", None, None, None),
        ("gpu", None, DETERMINISTIC, True),
        ("gpu", "0", DETERMINISTIC, True),
        ("gpu", "1", None, False),
    ],
)
def test_what_each_platform_gets(name, variable, options, answer, platform, monkeypatch):
    platform(name)
    if variable is not None:
        monkeypatch.setenv(programs.FAST_NONDETERMINISTIC, variable)
    assert compiler_options() == options
    assert is_deterministic() is answer


def test_be_fast_holds_for_this_process_and_its_children(platform, monkeypatch):
    platform("gpu")
    monkeypatch.setenv(programs.FAST_NONDETERMINISTIC, "0")
    be_fast()
    assert is_deterministic() is False
    assert programs.os.environ[programs.FAST_NONDETERMINISTIC] == "1"


def test_a_run_and_its_measures_compile_nothing_whose_order_matters_without_the_option(
    platform, compilations, tiny, tmp_path
):
    platform("gpu")
    jax.clear_caches()
    config = tiny(epochs=1.0, **{"model.downsample": "max_pool"})
    result = train(config, tmp_path / "run")
    assert (result.deterministic, result.steps_per_dispatch) == (True, 5), "as many as the epoch has, up to 20"
    run = restore_run(tmp_path / "run")
    run.predict(np.zeros((1, 32, 32, 3), np.uint8))
    evaluate_run(run, ["calibration", "receptive_field"], images=8)
    bare = [name for name, options, hlo in compilations if not options and any(word in hlo for word in ORDER_MATTERS)]
    assert bare == []
    with_option = {name for name, options, _ in compilations if options.get("xla_gpu_deterministic_ops") is True}
    assert {"jit_step", "jit_steps", "jit__apply", "jit__gradient_sizes", "jit_predict"} <= with_option


def test_the_result_says_which_and_a_run_that_was_fast_once_stays_so(platform, tiny, tmp_path, monkeypatch):
    from strideflax.training import Interrupted

    platform("gpu")
    monkeypatch.setenv(programs.FAST_NONDETERMINISTIC, "1")
    with pytest.raises(Interrupted):
        train(tiny(epochs=1.0), tmp_path / "run", should_stop=lambda: True, steps_per_dispatch=1)
    monkeypatch.setenv(programs.FAST_NONDETERMINISTIC, "0")
    assert train(tiny(epochs=1.0), tmp_path / "run", steps_per_dispatch=1).deterministic is False
    assert json.loads((tmp_path / "run" / "result.json").read_text())["deterministic"] is False


def test_on_a_cpu_nothing_is_said_and_nothing_passed(compilations, finished):
    assert "deterministic" not in json.loads((finished / "result.json").read_text())
    Program(lambda x: x + 3)(1.0)
    (_, options, _) = compilations[-1]
    assert options == {}


def test_several_steps_per_call_by_default_on_accelerators_alone(platform):
    from strideflax.training.loop import default_steps_per_dispatch

    assert default_steps_per_dispatch() == 1
    for name in ("gpu", "tpu"):
        platform(name)
        assert default_steps_per_dispatch() == 20


def test_a_program_within_another_is_a_part_of_it(platform):
    platform("gpu")
    double = Program(lambda x: 2 * x)
    assert float(jax.jit(lambda x: double(x) + 1)(jnp.ones(()))) == 3
    assert float(double(jnp.ones(()))) == 2


def loss(x):
    return max_pool(x, 3, stride=2).sum()


def test_what_has_no_deterministic_form_is_one_line(platform, monkeypatch):
    """XLA's refusal has to be had from the CPU: here it is that of an option which it does not know."""
    platform("gpu")
    monkeypatch.setitem(programs.DETERMINISTIC_OPTIONS, "gpu", {"xla_gpu_no_such_option": True})
    x = jnp.ones((1, 7, 7, 1))
    with use_implementation("lax"):
        for compile_it in (lambda: Program(jax.grad(loss))(x), lambda: compiled(Program(jax.grad(loss)).lower(x))):
            with pytest.raises(
                UserError, match=r"^implementation 'lax' of a max pool has no deterministic gradient on a GPU"
            ):
                compile_it()
    with pytest.raises(jax.errors.JaxRuntimeError, match="No such compile option"):
        Program(jax.grad(lambda x: (x**2).sum()))(x)


def test_a_program_that_runs_once_is_compiled_quickly_on_a_cpu_to_the_same_bits(compilations, platform):
    def draw(seed):
        return he_normal(jax.random.key(seed), (3, 3, 5, 7))

    np.testing.assert_array_equal(Program(draw, runs_once=True)(3), Program(draw)(3), strict=True)
    found = [options for name, options, _ in compilations if name == "jit_draw"]
    assert found == [programs.RUNS_ONCE_OPTIONS["cpu"], {}]
    platform("gpu")
    assert compiler_options(runs_once=True) == DETERMINISTIC
    platform("tpu")
    assert compiler_options(runs_once=True) is None
