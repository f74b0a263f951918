"""What runs of one process share: programs and images are found again, no bit depends on it, and nothing piles up."""

import logging
from pathlib import Path

import pytest

from strideflax.training import SharedWork, sharing, train
from strideflax.training.run_folder import read_metrics

TIMES = ("seconds", "images_per_second")


@pytest.fixture
def compiled():
    """A list that names each program as XLA compiles it, or finds it among those that are kept."""
    names: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if (text := record.getMessage()).startswith("Finished XLA compilation of "):
                names.append(text.split()[4])

    listener, logger = Listener(), logging.getLogger("jax._src.dispatch")
    logger.addHandler(listener)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    yield names
    logger.setLevel(level)
    logger.removeHandler(listener)


def outcome(folder: Path) -> list[dict]:
    """Return each epoch's numbers but its times."""
    return [{name: value for name, value in r.items() if name not in TIMES} for r in read_metrics(folder)]


def test_another_seed_and_other_numbers_compile_nothing_and_change_no_bit(tiny, tmp_path, compiled):
    shared = SharedWork()
    train(tiny(), tmp_path / "first", shared=shared)
    assert "jit(step)" in compiled
    compiled.clear()
    others = {
        "seed": 4,
        "optimizer.learning_rate": 0.013,
        "optimizer.momentum": 0.7,
        "optimizer.weight_decay": 0.01,
    }
    train(tiny(**others), tmp_path / "others", shared=shared)
    assert compiled == []
    train(tiny(**others), tmp_path / "alone")
    assert "jit(step)" in compiled, "a run alone looks for nothing"
    assert outcome(tmp_path / "others") == outcome(tmp_path / "alone")
    assert outcome(tmp_path / "others") != outcome(tmp_path / "first")


def test_what_is_compiled_in_makes_another_program(tiny):
    def place(**changes):
        return sharing.without_arguments(tiny(**changes))

    same = {"seed": 7, "optimizer.learning_rate": 1.0, "optimizer.momentum": 0.0, "optimizer.weight_decay": 0.5}
    assert place(**same) == place()
    adam = {"optimizer.name": "adamw"}
    changes = (
        {"optimizer.weight_decay": 0.0},
        {"optimizer.label_smoothing": 0.0},
        {"optimizer.clip_norm": 1.0},
        {"optimizer.schedule": "cosine"},
        {"epochs": 4.0},
        {"augment.crop": 0},
        {"model.downsample": "max_pool"},
        adam,
        {**adam, "optimizer.momentum": 0.8},
    )
    assert len({place(), *(place(**change) for change in changes)}) == 1 + len(changes)


def test_only_so_many_programs_and_one_data_set_stay_in_memory(tiny, monkeypatch):
    monkeypatch.setattr(sharing, "KEPT_PROGRAMS", 1)
    shared, config, cropless = SharedWork(), tiny(), tiny(**{"augment.crop": 0})
    images = shared.images(config.data)
    programs = shared.programs(config, images.dataset)
    assert shared.programs(tiny(seed=1), images.dataset) is programs
    assert shared.programs(cropless, images.dataset) is not programs
    assert shared.programs(config, images.dataset) is not programs
    assert shared.images(cropless.data) is images
    assert shared.images(tiny(**{"data.train_count": 128}).data) is not images
    assert shared.images(config.data) is not images
