"""Planning for the time there is."""

import pytest

from strideflax.config_file import read_config
from strideflax.errors import UserError
from strideflax.verdict.clock import Clock, TimeUp
from strideflax.verdict.schedule import (
    LEAST_PAIRS,
    LEAST_STEPS,
    MOST_STEPS,
    USUAL_PAIRS,
    Speed,
    make_schedule,
    with_epochs,
)

SPEED = Speed(step_seconds=0.1, start_seconds=1, run_seconds=4, compile_seconds=10, workers=1)


def planned_seconds(schedule, speed=SPEED) -> float:
    return speed.compile_seconds / speed.workers + schedule.pairs * schedule.pair_seconds


@pytest.mark.parametrize("steps_per_epoch", [1, 13, 390])
@pytest.mark.parametrize("seconds", [120, 600, 1200, 36_000])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_schedule_fits_into_its_time_and_uses_most_of_it(seconds, steps_per_epoch, workers):
    speed = Speed(step_seconds=0.1, start_seconds=1, run_seconds=4, compile_seconds=10, workers=workers)
    schedule = make_schedule(speed, seconds, steps_per_epoch)
    assert planned_seconds(schedule, speed) <= 0.85 * seconds
    assert planned_seconds(schedule, speed) > 0.7 * 0.85 * seconds or schedule.pairs == 30


def test_there_are_eight_pairs_where_runs_can_be_long_enough():
    schedule = make_schedule(SPEED, 1200, 13)
    assert schedule.pairs == USUAL_PAIRS
    assert schedule.steps > LEAST_STEPS


def test_a_short_time_costs_pairs_before_it_costs_steps():
    schedule = make_schedule(SPEED, 130, 13)
    assert LEAST_PAIRS <= schedule.pairs < USUAL_PAIRS
    assert schedule.steps == pytest.approx(LEAST_STEPS, abs=13)
    shorter = make_schedule(SPEED, 80, 13)
    assert shorter.pairs == LEAST_PAIRS
    assert 13 <= shorter.steps < LEAST_STEPS
    assert make_schedule(SPEED, 30, 13).pairs < LEAST_PAIRS


def test_a_long_time_buys_pairs_once_runs_are_long_enough():
    schedule = make_schedule(SPEED, 10 * 3600, 13)
    assert schedule.steps == MOST_STEPS // 13 * 13
    assert schedule.pairs == 30


def test_epochs_that_were_asked_for_are_kept():
    schedule = make_schedule(SPEED, 1200, 13, epochs=2.0)
    assert (schedule.epochs, schedule.steps, schedule.pairs) == (2.0, 26, 30)


def test_a_time_too_short_for_a_pair_is_refused_with_one_that_is_not():
    message = r"too short for even one pair, which takes 8 s here and 10 s to compile; .* about --minutes 3"
    with pytest.raises(UserError, match=message):
        make_schedule(SPEED, 10, 13, epochs=2.0)
    assert make_schedule(SPEED, 3 * 60, 13, epochs=2.0).pairs >= LEAST_PAIRS


def test_the_warm_up_keeps_its_share_and_checkpoints_are_few():
    config = read_config("configs/stride2.py")
    changed = with_epochs(config, 40)
    assert (changed.epochs, changed.optimizer.warmup_epochs, changed.checkpoint_epochs) == (40, 10, 10)
    assert with_epochs(config, 0.5).optimizer.warmup_epochs == 0.125


def test_a_clock_goes_on_where_the_one_before_was_killed(tmp_path):
    first = Clock(tmp_path, seconds=100)
    first.note()
    assert Clock(tmp_path, seconds=100).spent >= first.spent - 0.1
    (tmp_path / "spent.json").write_text('{"seconds": 99.9}')
    later = Clock(tmp_path, seconds=100)
    assert 0 < later.left < 0.11
    later.check()
    (tmp_path / "spent.json").write_text('{"seconds": 101}')
    with pytest.raises(TimeUp):
        Clock(tmp_path, seconds=100).check()
