import os
import subprocess
import sys

PROGRAM = """
import sys
from pathlib import Path
import jax, jax.numpy as jnp
from strideflax.compile_cache import keep_compiled
from strideflax import conv
keep_compiled(Path(sys.argv[1]))
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith("cache_hits") else None)
y = jax.jit(lambda x, k: conv(x, k, stride=2).sum())(jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 4)))
print(len(hits), float(y), jax.config.jax_compilation_cache_dir)
"""


def run(folder, **environment):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env={**os.environ, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split()


def test_a_second_process_finds_what_the_first_has_compiled(tmp_path):
    first, second = run(tmp_path), run(tmp_path)
    assert first[0] == "0"
    assert int(second[0]) >= 1
    assert second[1:] == first[1:]
    assert second[2].startswith(str(tmp_path))


def test_a_place_that_jax_was_told_wins(tmp_path):
    assert run(tmp_path / "ours", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "theirs"))[2] == str(tmp_path / "theirs")
