"""Kernels and bytes, counted by hand and in the training step as a GPU gets it."""

import jax
import jax.numpy as jnp
import pytest
from jax.extend.backend import get_backend

from strideflax.benchmark.program_size import ProgramSize, program_size, size_of
from strideflax.model import batch_norm
from strideflax.training.setup import prepare

BY_HAND = """HloModule jit_f, entry_computation_layout={(f32[8,4]{1,0})->f32[4]{0}}

%fused_computation (p.1: f32[8,4]) -> f32[8,4] {
  %p.1 = f32[8,4]{1,0} parameter(0)
  ROOT %multiply.1 = f32[8,4]{1,0} multiply(%p.1, %p.1)
}

%region (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add = f32[] add(%a, %b)
}

%taken (t: bf16[8,4]) -> bf16[8,4] {
  %t = bf16[8,4]{1,0} parameter(0)
  ROOT %copy.9 = bf16[8,4]{0,1} copy(%t)
}

%left (l: bf16[8,4]) -> bf16[8,4] {
  ROOT %l = bf16[8,4]{1,0} parameter(0)
}

%command_buffer (c: f32[4]) -> f32[4] {
  %c = f32[4]{0} parameter(0)
  ROOT %custom-call = (f32[4]{0}, s8[100]{0}) custom-call(%c), custom_call_target="cudnn"
}

ENTRY %main (x: f32[8,4], n: s32[]) -> f32[4] {
  %x = f32[8,4]{1,0} parameter(0)
  %n = s32[] parameter(1)
  %zero = f32[] constant(0)
  %fusion = f32[8,4]{1,0} fusion(%x), kind=kLoop, calls=%fused_computation
  %half = bf16[8,4]{1,0} convert(%fusion)
  %conditional = bf16[8,4]{1,0} conditional(%n, %half, %half), branch_computations={%taken, %left}
  %reduce = f32[4]{0} reduce(%fusion, %zero), dimensions={0}, to_apply=%region
  %all-reduce = f32[4]{0} all-reduce(%reduce), replica_groups={}, to_apply=%region
  ROOT %call = f32[4]{0} call(%all-reduce), to_apply=%command_buffer
}
"""


def test_a_program_by_hand():
    fusion, convert, copy = 128 + 128, 128 + 64, 64 + 64
    reduce, all_reduce, library = 128 + 4 + 16, 16 + 16, 16 + 16 + 100
    assert program_size(BY_HAND) == ProgramSize(
        kernels=6, bytes=fusion + convert + copy + reduce + all_reduce + library, branches=1, all_reduces=1
    )


def test_a_compiled_program():
    compiled = jax.jit(lambda x, y: jnp.tanh(x @ y)).lower(jnp.ones((64, 32)), jnp.ones((32, 16))).compile()
    size = size_of(compiled)
    assert 1 <= size.kernels <= 3
    assert size.bytes >= 4 * (64 * 32 + 32 * 16 + 64 * 16)
    assert (size.branches, size.all_reduces) == (0, 0)


@pytest.fixture(scope="module")
def setup(tiny):
    return prepare(tiny())


def step_for_a_gpu(setup) -> ProgramSize:
    """Count the training step that a GPU gets, in the kernels that XLA for the CPU makes of it: no GPU is needed."""
    arguments = setup.initial, setup.pixels(setup.dataset.train), setup.order(0), setup.key, setup.numbers
    step = jax.jit(
        lambda *arguments: setup.programs.train_step(*arguments), donate_argnums=0
    )  # a new one is traced anew
    text = step.trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()
    backend = get_backend("cpu")
    from jax._src.lib import xla_client

    devices = xla_client.DeviceList(tuple(backend.local_devices()[:1]))
    executable = backend.compile_and_load(text, devices, xla_client.CompileOptions())
    return program_size(executable.hlo_modules()[0].to_string())


def test_batch_norm_takes_no_branch_on_a_gpu_and_fewer_kernels(setup, monkeypatch):
    now = step_for_a_gpu(setup)
    monkeypatch.setattr(batch_norm, "_statistics_without_a_branch", batch_norm._statistics)
    jax.clear_caches()
    before = step_for_a_gpu(setup)
    norms = 6  # of the stem, two per block, one on the shortcut
    assert (before.branches, now.branches) == (norms, 0)
    assert now.kernels <= before.kernels - norms
