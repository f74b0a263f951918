"""Kept programs: found by the next process, verified before they are loaded, and in nobody else's hands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docs.pages import ROOT

PROGRAM = """
import sys
from pathlib import Path
import jax, jax.numpy as jnp
from strideflax.compile_cache import keep_compiled
from strideflax import conv
notes, hits = [], []
keep_compiled(notes.append, Path(sys.argv[1]))
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith("cache_hits") else None)
y = jax.jit(lambda x, k: conv(x, k, stride=2).sum())(jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 4)))
print(len(hits), float(y), jax.config.jax_compilation_cache_dir)
print("|".join(notes))
"""


def run(folder, **environment) -> tuple[int, float, str, str]:
    """Return a process's hits, its result, the place of its programs, and what it noted."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(folder)],
        env={**os.environ, **environment}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    first, notes = done.stdout.splitlines()
    hits, result, place = first.split()
    return int(hits), float(result), place, notes


def programs(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.program"))


def test_a_second_process_finds_what_the_first_has_compiled(tmp_path):
    first, second = run(tmp_path), run(tmp_path)
    assert first[0] == 0
    assert second[0] >= 1
    assert second[1:] == first[1:]
    assert second[2].startswith(str(tmp_path))
    assert second[3] == ""


def test_another_checkout_finds_them_too_and_another_option_does_not(tmp_path):
    kept, copy = tmp_path / "kept", tmp_path / "checkout"
    shutil.copytree(ROOT / "strideflax", copy / "strideflax", ignore=shutil.ignore_patterns("__pycache__"))
    first = run(kept)
    assert run(kept, PYTHONPATH=str(copy))[0] >= 1, "nothing of where the library lies is in a program's name"
    assert run(kept, XLA_FLAGS="--xla_cpu_enable_fast_math=true")[0] == 0
    assert first[0] == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: bytes([content[0] ^ 128]) + content[1:],
        lambda content: content[: len(content) // 2],
        lambda content: b"",
    ],
    ids=["a bit of the program", "a bit of the checksum", "cut", "emptied"],
)
def test_damaged_programs_are_dropped_with_one_line_and_made_anew(tmp_path, damage):
    whole = run(tmp_path)
    kept = programs(tmp_path)
    for path in kept:
        path.write_bytes(damage(path.read_bytes()))
    hits, result, _, notes = run(tmp_path)
    assert (hits, result) == (0, whole[1])
    assert notes.count("a kept program was damaged and is compiled again") == 1
    assert "|" not in notes, "one line, however many"
    assert programs(tmp_path) == kept
    assert run(tmp_path)[0] >= 1


def test_a_sound_file_that_jax_cannot_load_is_replaced(tmp_path):
    import hashlib

    whole = run(tmp_path)
    for path in programs(tmp_path):
        path.write_bytes(hashlib.sha256(b"nonsense").digest() + b"nonsense")
    hits, result, _, notes = run(tmp_path)
    assert (hits, result) == (0, whole[1])
    assert notes.count("compiled again") == 1
    assert run(tmp_path)[0] >= 1


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_can_write_is_not_used(tmp_path, mode):
    run(tmp_path)
    (folder,) = tmp_path.iterdir()
    folder.chmod(mode)
    hits, _, place, notes = run(tmp_path)
    assert (hits, place) == (0, "None")
    assert f"others can write to {folder}" in notes


def test_the_folder_is_the_user_s_alone(tmp_path):
    run(tmp_path)
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_place_that_cannot_be_written_costs_time_and_no_more(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    assert run(tmp_path / "file" / "cache")[2:] == ("None", "")


def test_a_place_that_jax_was_told_wins(tmp_path):
    assert run(tmp_path / "ours", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "theirs"))[2] == str(tmp_path / "theirs")


def test_jax_s_warnings_about_its_own_place_are_not_the_user_s(tmp_path):
    theirs = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    theirs["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    whole = run(tmp_path, **theirs)
    for path in tmp_path.glob("*-cache"):
        path.write_bytes(b"nonsense")
    assert run(tmp_path, **theirs)[:2] == (0, whole[1])
