"""Whatever happens to a checkpoint's files, what is restored is right to the bit, or nothing."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from reliability.runs import FIELDS

from configs.baseline import baseline
from strideflax.config import Config
from strideflax.config_file import override
from strideflax.training import Interrupted, train
from strideflax.training.checkpoint import Checkpoints
from strideflax.training.setup import prepare


def flip(content: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(random.integers(1, 4)):
        changed[random.integers(len(content))] ^= 1 << random.integers(8)
    return bytes(changed)


INJURIES = {
    "flipped": flip,
    "cut": lambda content, random: content[: random.integers(len(content))],
    "emptied": lambda content, random: b"",
    "filled": lambda content, random: random.bytes(len(content)),
    "lengthened": lambda content, random: content + random.bytes(3),
    "deleted": lambda content, random: None,
}


class Saved:
    """A run's two checkpoints, and what they hold."""

    def __init__(self, folder: Path):
        values = baseline("quick").to_dict()
        override(values, FIELDS)
        config = Config.from_dict(values)
        self.template = prepare(config).initial
        stop = iter([False] * 9 + [True])
        with pytest.raises(Interrupted):
            train(config, folder / "run", should_stop=lambda: next(stop))
        self.folder = folder / "run" / "checkpoints"
        self.files = sorted(path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file())
        newest, _ = self.restore(self.folder)
        shutil.copytree(self.folder, folder / "older")
        shutil.rmtree(folder / "older" / "10")
        older, _ = self.restore(folder / "older")
        self.states = {10: newest, 8: older}

    def restore(self, folder: Path) -> tuple[list[bytes] | None, list[str]]:
        with Checkpoints(folder) as checkpoints:
            found = checkpoints.restore(self.template)
        return found.state and [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(found.state)], found.damaged


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Saved:
    saved = Saved(tmp_path_factory.mktemp("saved"))
    assert {path.parts[0] for path in saved.files} == {"8", "10", "8.sha256.json", "10.sha256.json"}
    return saved


@pytest.mark.trials("injuries", 45, 450)
def test_an_injury_is_noticed_or_harmless(trial, saved, tmp_path):
    random = np.random.default_rng(trial)
    folder = tmp_path / "checkpoints"
    shutil.copytree(saved.folder, folder)
    victim = saved.files[trial % len(saved.files)]  # every file has its turn
    how = list(INJURIES)[trial // len(saved.files) % len(INJURIES)] if trial % 2 else random.choice(list(INJURIES))
    content = (folder / victim).read_bytes()
    changed = INJURIES[how](content, random) if content else random.choice([b"x", None])
    if changed is None:
        (folder / victim).unlink()
    else:
        (folder / victim).write_bytes(changed)
    state, damaged = saved.restore(folder)
    newest_is_hurt = victim.parts[0].split(".")[0] == "10" and changed != content
    if newest_is_hurt:
        assert state == saved.states[8], (victim, how)
        assert damaged == ["checkpoint 10 is damaged (its checksums differ or are missing)"], (victim, how)
    else:
        assert (state, damaged) == (saved.states[10], [])


@pytest.mark.trials("injuries", 1, 6)
def test_with_both_hurt_there_is_nothing_to_restore(trial, saved, tmp_path):
    random = np.random.default_rng(trial)
    shutil.copytree(saved.folder, tmp_path / "checkpoints")
    for step in ("8", "10"):
        files = [
            path for path in (tmp_path / "checkpoints" / step).rglob("*") if path.is_file() and path.stat().st_size
        ]
        victim = files[random.integers(len(files))]
        victim.write_bytes(flip(victim.read_bytes(), random))
    state, damaged = saved.restore(tmp_path / "checkpoints")
    assert state is None
    assert len(damaged) == 2
