import pytest
from rich.console import Console
from small_grid import plan

from strideflax.commands.sweep import status_table
from strideflax.training.run_folder import lock_folder


def shown(table) -> list[str]:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(table)
    return [" ".join(line.split()) for line in captured.get().splitlines()]


@pytest.fixture
def runs(tmp_path):
    return plan(tmp_path)


def test_a_run_whose_worker_is_starting_does_not_wait(runs):
    with lock_folder(runs[0].folder):
        table = shown(status_table(runs, note="about 2 min left", in_hand={runs[0].folder, runs[1].folder}))
    assert table[1:4] == ["seed=0 running", "seed=1 starting", "seed=2 waiting"]
    assert table[4] == "1 running, 1 starting, 1 waiting; about 2 min left"


def test_of_many_runs_those_at_work_come_first(runs):
    table = shown(status_table(runs, rows=1, in_hand={runs[2].folder}))
    assert table[1:] == ["seed=2 starting", "2 waiting, 1 starting"]
