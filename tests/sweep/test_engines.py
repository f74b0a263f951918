"""Real pools, real kills, a real Ray cluster: every run ends once, with the same weights as without the trouble."""

import argparse
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands.endings import STOPPING
from small_grid import GRID, plan

from strideflax.__main__ import main
from strideflax.commands.sweep import _started_workers
from strideflax.errors import UserError
from strideflax.process import StoppedAtOnce
from strideflax.sweep import engines, worker_process
from strideflax.sweep.pool import WorkerSlot
from strideflax.sweep.worker import train_group
from strideflax.sweep.worker_process import Share
from strideflax.training.run_folder import is_locked, read_json, read_metrics

ROOT = Path(__file__).parents[2]


def outcomes(runs) -> list[tuple]:
    """Return what must not depend on how the sweep went: results and every epoch's losses."""
    results = [read_json(run.folder / "result.json") for run in runs]
    epochs = [[(r["epoch"], r["train_loss"], r["val_loss"]) for r in read_metrics(run.folder)] for run in runs]
    return [(r["status"], r["test_accuracy"], r["test_loss"], *e) for r, e in zip(results, epochs, strict=True)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> list[tuple]:
    folder = tmp_path_factory.mktemp("undisturbed")
    runs = plan(folder)
    engines.local([run.folder for run in runs], lambda in_hand: None, workers=2)
    return outcomes(runs)


def test_the_pool_finishes_every_run(undisturbed):
    assert [outcome[0] for outcome in undisturbed] == ["finished"] * 3
    assert len({outcome[2] for outcome in undisturbed}) == 3, "seeds differ"


def test_a_worker_killed_half_way_is_replaced_and_its_run_goes_on(undisturbed, tmp_path):
    runs = plan(tmp_path)
    killed = []

    def tick(in_hand):
        if not killed and any(len(read_metrics(run.folder)) >= 2 for run in runs):
            victim = max(multiprocessing.active_children(), key=lambda process: process.pid)
            os.kill(victim.pid, signal.SIGKILL)
            killed.append(victim.pid)

    engines.local([run.folder for run in runs], tick, workers=1)
    assert killed
    assert outcomes(runs) == undisturbed


def test_killing_the_whole_sweep_and_starting_it_again_ends_with_the_same_table(undisturbed, tmp_path):
    runs = plan(tmp_path)
    words = [
        sys.executable,
        "-m",
        "strideflax",
        "sweep",
        "--config",
        str(tmp_path / "grid.py"),
        "--out",
        str(tmp_path / "out"),
    ]
    sweep = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 600
    while not any(len(read_metrics(run.folder)) >= 2 for run in runs):
        assert sweep.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(sweep.pid, signal.SIGKILL)
    sweep.wait()
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "3 finished" in done.stdout
    assert outcomes(runs) == undisturbed
    again = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "3 runs (3 finished)" in again.stdout


def test_a_failing_run_is_written_down_and_the_others_go_on(tmp_path):
    text = GRID.replace('yield {"seed": seed}', 'yield {"seed": seed, "data.train_count": 960 if seed else 10**9}')
    runs = plan(tmp_path, text)
    engines.local([run.folder for run in runs], lambda in_hand: None, workers=1)
    assert [run.status for run in runs] == ["failed", "finished", "finished"]
    failure = read_json(runs[0].folder / "result.json")
    assert failure["test_accuracy"] is None
    assert "1000000000" in failure["error"]
    assert failure["seed"] == 0


def test_a_worker_that_is_killed_takes_no_other_with_it(undisturbed, tmp_path):
    runs = plan(tmp_path)
    survivors: set[int] = set()
    seen_after: list[set[int]] = []

    def tick(in_hand):
        pids = {process.pid for process in multiprocessing.active_children()}
        if survivors:
            seen_after.append(pids)
        elif all(len(read_metrics(run.folder)) >= 1 for run in runs[:2]):
            victim = min(pids)
            os.kill(victim, signal.SIGKILL)
            survivors.update(pids - {victim})

    engines.local([run.folder for run in runs], tick, workers=2)
    assert len(survivors) == 1
    assert survivors <= seen_after[0]
    assert outcomes(runs) == undisturbed


def test_a_run_that_kills_its_workers_is_written_down_and_the_others_go_on(undisturbed, tmp_path):
    runs = plan(tmp_path)
    victims: list[int] = []

    def tick(in_hand):
        if is_locked(runs[0].folder):
            (process,) = multiprocessing.active_children()
            if process.pid not in victims:
                os.kill(process.pid, signal.SIGKILL)
                victims.append(process.pid)

    engines.local([run.folder for run in runs], tick, workers=1)
    assert len(victims) == engines.ATTEMPTS
    assert [run.status for run in runs] == ["failed", "finished", "finished"]
    expected = "its worker was killed by signal 9, 3 times in all; is the memory enough for 1 worker?"
    assert read_json(runs[0].folder / "result.json")["error"] == expected
    assert outcomes(runs[1:]) == undisturbed[1:]


def test_workers_that_cannot_start_end_the_sweep_in_a_line(tmp_path, monkeypatch):
    runs = plan(tmp_path)
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))  # where there is no Python
    with pytest.raises(UserError, match="a worker process ended with exit code 1 before it could start"):
        engines.local([run.folder for run in runs], lambda in_hand: None, workers=2)
    assert [run.status for run in runs] == ["waiting"] * 3


def test_a_stop_is_asked_of_all_workers_which_save(undisturbed, tmp_path):
    runs = plan(tmp_path)

    def tick(in_hand):
        if any(len(read_metrics(run.folder)) >= 1 for run in runs):
            raise StoppedAtOnce(signal.SIGTERM)

    with pytest.raises(StoppedAtOnce):
        engines.local([run.folder for run in runs], tick, workers=2)
    assert multiprocessing.active_children() == []
    stopped = {run.status for run in runs[:2]}
    assert "started" in stopped
    assert "running" not in stopped
    assert runs[2].status == "waiting"
    engines.local([run.folder for run in runs], lambda in_hand: None, workers=2)
    assert outcomes(runs) == undisturbed


def test_programs_are_kept_in_the_users_cache_and_never_in_a_folder_that_is_handed_around(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIDEFLAX_CACHE", str(tmp_path / "cache"))

    def compiled_steps() -> list[str]:
        return sorted(p.name for p in (tmp_path / "cache" / "compiled").glob("*/jit_step-*"))

    first, second, _ = (run.folder for run in plan(tmp_path))
    engines.local([first], lambda in_hand: None, workers=1)
    before = compiled_steps()
    assert len({name.split("-")[1] for name in before}) == 3, "one to train, one to evaluate each of two splits"
    engines.local([second], lambda in_hand: None, workers=1)
    assert compiled_steps() == before
    assert not list((tmp_path / "out").glob(".*"))


def test_slurm_through_submitit_ends_the_same(undisturbed, tmp_path):
    runs = plan(tmp_path)
    engines.slurm([run.folder for run in runs[:1]], lambda in_hand: None, cluster="local")
    assert outcomes(runs[:1]) == undisturbed[:1]


def test_runs_that_share_a_program_are_grouped(tmp_path):
    each = (
        'for operator in ("strided_conv", "max_pool"):\n            yield {"seed": seed, "model.downsample": operator}'
    )
    runs = plan(tmp_path, GRID.replace('yield {"seed": seed}', each))
    strided, pooled = ([run.folder for run in runs[first::2]] for first in (0, 1))
    assert engines.groups([run.folder for run in runs], 3) == [strided, pooled]
    assert engines.groups([run.folder for run in runs], 4) == [[*strided, pooled[0]], pooled[1:]]


def test_where_a_group_s_process_died_the_run_in_hand_has_failed_and_those_behind_it_go_on(tmp_path):
    runs = plan(tmp_path)
    folders = [run.folder for run in runs]
    assert engines._after_failure(folders, "its job failed") == folders[1:]
    assert [run.status for run in runs] == ["failed", "waiting", "waiting"]
    assert engines._after_failure(folders, "its job failed") == folders[2:], "what has a result is passed over"


def test_a_group_begins_no_run_once_the_time_is_up(tmp_path):
    runs = plan(tmp_path)
    train_group([str(run.folder) for run in runs], stop_at=time.time())
    assert [run.status for run in runs] == ["waiting"] * 3


RAY = """
import os, sys
os.environ.update(RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")
from pathlib import Path
from ray.cluster_utils import Cluster
from strideflax.errors import UserError
from strideflax.process import StoppedAtOnce
from strideflax.sweep import engines
from strideflax.training.run_folder import read_metrics
folders = [Path(p) for p in sys.argv[1:]]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
first, second = cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)
lost = []
def tick(in_hand):
    if not lost and any(len(read_metrics(folder)) >= 2 for folder in folders):
        cluster.remove_node(second, allow_graceful=False)
        lost.append(second)
engines.ray(folders, tick, address=cluster.address)
assert lost, "the node was to be lost half-way"
cluster.shutdown()
"""


def test_a_ray_cluster_that_loses_a_node_half_way_ends_with_the_same_table(undisturbed, tmp_path):
    runs = plan(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", RAY, *(str(run.folder) for run in runs)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcomes(runs) == undisturbed
    assert [json.loads((run.folder / "result.json").read_text())["status"] for run in runs] == ["finished"] * 3


def test_a_signal_while_a_worker_starts_leaves_nothing_to_stop(tmp_path, monkeypatch):
    def interrupted(process):
        raise KeyboardInterrupt

    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", interrupted)
    slot = WorkerSlot()
    with pytest.raises(KeyboardInterrupt):
        slot.start()
    slot.stop()
    slot.close()


def test_workers_that_started_before_they_had_an_assignment_train_the_same_and_those_too_many_end(
    undisturbed, tmp_path
):
    runs = plan(tmp_path)
    started = [WorkerSlot() for _ in range(3)]
    for slot in started:
        slot.start()
    before = {process.pid for process in multiprocessing.active_children()}
    seen: set[int] = set()

    def tick(in_hand):
        seen.update(process.pid for process in multiprocessing.active_children())

    engines.local([run.folder for run in runs[:2]], tick, workers=3, started=started)
    assert len(before) == 3
    assert len(seen) == 2
    assert seen < before
    assert multiprocessing.active_children() == []
    assert outcomes(runs[:2]) == undisturbed[:2]


def test_a_worker_that_started_and_died_ends_the_sweep_in_a_line(tmp_path):
    runs = plan(tmp_path)
    slot = WorkerSlot()
    slot.start()
    (process,) = multiprocessing.active_children()
    process.kill()
    process.join()
    with pytest.raises(UserError, match="a worker process was killed by signal 9 before it could start"):
        engines.local([run.folder for run in runs], lambda in_hand: None, started=[slot])
    assert [run.status for run in runs] == ["waiting"] * 3


SWEEP = (sys.executable, "-m", "strideflax", "sweep", "--workers", "2", "--out", "out", "--config")


def wait_until_empty(group: int) -> None:
    """Wait until no process of a process group is left, for a minute at most."""
    deadline = time.monotonic() + 60
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_sweep_that_cannot_begin_leaves_no_worker(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*SWEEP, "nowhere.py"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as sweep:
        _, errors = sweep.communicate(timeout=120)
    assert sweep.returncode == 2
    assert errors.count("\n") == 1, errors
    wait_until_empty(sweep.pid)


def test_workers_end_with_a_sweep_that_is_killed_while_it_loads(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    sweep = subprocess.Popen([*SWEEP, "nowhere.py"], cwd=tmp_path, env=environment, start_new_session=True)
    deadline = time.monotonic() + 60
    children = Path(f"/proc/{sweep.pid}/task/{sweep.pid}/children")
    while len(children.read_text().split()) < 3:  # two workers, and what watches over multiprocessing's files
        assert time.monotonic() < deadline
        time.sleep(0.01)
    sweep.kill()
    sweep.wait()
    wait_until_empty(sweep.pid)


SLOW_TO_PLAN = "import time; time.sleep(30)\n" + GRID


def test_ctrl_c_while_a_sweep_is_planned_is_answered_in_one_line(tmp_path):
    (tmp_path / "grid.py").write_text(SLOW_TO_PLAN)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*SWEEP, "grid.py"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as sweep:
        time.sleep(5)
        os.killpg(sweep.pid, signal.SIGINT)  # a terminal sends it to the workers too
        _, errors = sweep.communicate(timeout=120)
    assert sweep.returncode == 128 + signal.SIGINT
    assert [line for line in errors.splitlines() if line] in (["interrupted"], [STOPPING, "interrupted"])
    wait_until_empty(sweep.pid)
    assert not (tmp_path / "out").exists()


def test_what_a_config_file_prints_arrives_from_the_worker_too(tmp_path):
    text = GRID.replace("range(3)", "range(1)").replace("epochs = 6.0", "epochs = 1.0")
    (tmp_path / "grid.py").write_text("import os; print('read by', os.getpid())\n" + text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONUNBUFFERED", None)
    done = subprocess.run(
        [*SWEEP, "grid.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    readers = {line for line in done.stdout.splitlines() if line.startswith("read by")}
    assert len(readers) == 2, done.stdout


def test_a_dry_run_starts_no_worker(tmp_path, monkeypatch):
    plan(tmp_path)
    monkeypatch.setattr(WorkerSlot, "start", lambda slot: pytest.fail("a worker was started"))
    main(["sweep", "--config", str(tmp_path / "grid.py"), "--out", str(tmp_path / "out"), "--dry-run"])


@pytest.mark.parametrize(
    ("engine", "workers", "early"), [("local", 10_000, os.cpu_count()), ("local", 1, 1), ("ray", 1, 0)]
)
def test_workers_of_this_machine_start_early_but_no_more_than_it_has_cores(engine, workers, early, monkeypatch):
    starts = []
    monkeypatch.setattr(WorkerSlot, "start", lambda slot: starts.append(slot))
    with _started_workers(argparse.Namespace(engine=engine, workers=workers, dry_run=False)) as slots:
        assert len(starts) == len(slots) == early


def test_a_worker_sees_its_accelerator_alone(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    worker_process._confine_to(Share(accelerator="2"))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"


def test_workers_can_be_started_before_jax_is_imported():
    script = "import sys, strideflax.sweep.pool; print({'jax', 'flax', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
