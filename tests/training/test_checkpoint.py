import jax.numpy as jnp
import numpy as np
import pytest

from strideflax.training.checkpoint import Checkpoints, Restored
from strideflax.training.run_folder import RunFolderError


def state(step: int) -> dict:
    return {"w": jnp.full((64, 64), float(step)), "step": jnp.asarray(step)}


@pytest.fixture
def saved(tmp_path):
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, state(step), {"step": step})
    return tmp_path / "checkpoints"


def restore(folder):
    with Checkpoints(folder) as checkpoints:
        return checkpoints.restore(state(0))


def flip_a_bit(folder):
    victim = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 3] ^= 4
    victim.write_bytes(content)


def test_the_newest_comes_back_and_two_are_kept(saved):
    found = restore(saved)
    np.testing.assert_array_equal(found.state["w"], np.full((64, 64), 3.0))
    assert (found.step, found.meta, found.damaged) == (3, {"step": 3}, [])
    assert sorted(p.name for p in saved.iterdir() if p.is_dir()) == ["2", "3"]
    assert sorted(p.name for p in saved.glob("*.json")) == ["2.sha256.json", "3.sha256.json"]


def test_a_flipped_bit_is_noticed(saved):
    flip_a_bit(saved / "3")
    found = restore(saved)
    assert (found.step, found.meta) == (2, {"step": 2})
    assert float(found.state["w"][0, 0]) == 2.0
    assert found.damaged == ["checkpoint 3 is damaged (its checksums differ or are missing)"]
    assert (saved / "3").exists(), "who only reads deletes nothing"


@pytest.mark.parametrize("content", [b"[", b"\xff", b'{"custom_metadata": {"a": 1}, "other": 1}'])
def test_damage_in_what_orbax_reads_of_every_step_costs_that_step_alone(saved, content):
    (saved / "3" / "_CHECKPOINT_METADATA").write_bytes(content)
    assert restore(saved).meta == {"step": 2}
    with Checkpoints(saved) as checkpoints:
        assert checkpoints.restore(state(0), drop_damaged=True).meta == {"step": 2}
        checkpoints.save(3, state(30), {"step": 30})
    assert restore(saved).meta == {"step": 30}


def test_a_missing_file_is_noticed_and_with_nothing_sound_there_is_nothing(saved):
    flip_a_bit(saved / "2")
    (saved / "3.sha256.json").write_text("")
    found = restore(saved)
    assert (found.step, found.state, found.meta) == (None, None, {})
    assert len(found.damaged) == 2


def test_an_empty_folder_restores_nothing(tmp_path):
    assert restore(tmp_path / "none") == Restored()


def test_saving_goes_on_after_a_damaged_one_was_dropped(saved):
    flip_a_bit(saved / "3")
    with Checkpoints(saved) as checkpoints:
        checkpoints.restore(state(0), drop_damaged=True)
        checkpoints.save(3, state(30), {"step": 30})
    found = restore(saved)
    assert float(found.state["w"][0, 0]) == 30.0
    assert found.meta == {"step": 30}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"w": jnp.zeros((64, 64), jnp.bfloat16)}, r"holds float32\[64, 64\] where bfloat16\[64, 64\] is expected"),
        ({"w": jnp.zeros((64, 32))}, r"holds float32\[64, 64\] where float32\[64, 32\] is expected"),
        ({"more": jnp.zeros(2)}, r"holds int32\[\] where float32\[2\] is expected"),
    ],
)
def test_other_shapes_or_types_are_refused_and_never_cast(saved, other, message):
    with Checkpoints(saved) as checkpoints, pytest.raises(RunFolderError, match=message):
        checkpoints.restore(state(0) | other)


def test_a_checkpoint_of_fewer_arrays_is_refused(saved):
    with Checkpoints(saved) as checkpoints, pytest.raises(RunFolderError, match="holds 2 arrays, expected 3"):
        checkpoints.restore(state(0) | {"z": jnp.zeros(2)})


def test_the_leading_part_of_a_state_is_read_alone(saved):
    with Checkpoints(saved) as checkpoints:
        found = checkpoints.restore({"step": jnp.asarray(0)}, partial=True)
        assert (found.step, set(found.state), int(found.state["step"])) == (3, {"step"}, 3)
        with pytest.raises(RunFolderError, match=r"holds int32\[\] where float32\[2\] is expected"):
            checkpoints.restore({"step": jnp.zeros(2)}, partial=True)
