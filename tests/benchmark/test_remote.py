"""Real processes."""

import dataclasses

import pytest

from configs.baseline import baseline
from strideflax.benchmark.floors import CORES, FLOORS, check_floors
from strideflax.benchmark.ratios import measure_ratios
from strideflax.benchmark.remote import ContenderError, RemoteContender, open_contenders
from strideflax.benchmark.workloads import OperatorCall, Step, to_job
from strideflax.config import Config
from strideflax.config_file import override

POOL = OperatorCall(operator="max_pool", window=2, stride=2, size=4, in_features=2, out_features=2, batch=1)


def test_a_worker_answers_and_comes_back_after_a_failure_and_after_its_death():
    with RemoteContender("auto", {"JAX_NUM_CPU_DEVICES": "2"}) as contender:
        assert "2 JAX devices" in contender.ask(do="describe")["device"]
        with pytest.raises(ContenderError, match=r"^KeyError: 'nothing'$"):
            contender.ask(do="prepare", workload=to_job(dataclasses.replace(POOL, operator="nothing")), weights="")
        assert contender._process is not None
        contender._process.kill()
        with pytest.raises(ContenderError, match="the process of auto died: it said nothing"):
            contender.ask(do="describe")
        assert contender.ask(do="prepare", workload=to_job(POOL), weights="")["compile_seconds"] > 0
        times = contender.ask(do="measure", calls=3, seconds=0)
        assert times["calls"] == 3
        assert 0 < times["low_quartile_ms"] <= times["median_ms"] <= times["high_quartile_ms"]
        process = contender._process
    assert process is not None
    assert process.returncode == 0


@pytest.fixture(scope="module")
def formulations():
    with open_contenders(("auto", "lax"), cores=CORES) as contenders:
        yield contenders


def test_a_worker_keeps_to_the_cores_that_it_is_given(formulations):
    assert ", 1 core," in formulations["auto"].ask(do="describe")["device"]


def test_both_formulations_of_a_whole_step_compute_the_same(formulations):
    values = baseline("quick").to_dict()
    changes = {"model.widths": (4,), "model.blocks": (1,), "model.strides": (2,), "batch_size": 8}
    override(values, changes | {"model.downsample": "max_pool"})
    step = Step.of("tiny", Config.from_dict(values), dtype="float32", size=12)
    (row,) = measure_ratios(formulations, [step], rounds=1)
    assert row["ratios"]["lax"]["median"] > 0
    assert "differs" not in row
    assert row["times"]["auto"]["images_per_second"] > 0


def test_no_operator_has_lost_its_lead_over_the_plain_formulation(formulations):
    """The regression check, as in `strideflax bench against lax --check`."""
    rows = list(check_floors(formulations, rounds=3))
    assert [row for row in rows if not row["passed"]] == []
    assert len(rows) == len(FLOORS)
