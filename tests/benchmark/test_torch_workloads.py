"""Runs where PyTorch is installed; tests/conftest.py says so where it is not."""

import dataclasses

import jax
import pytest
import torch

from configs.baseline import baseline
from strideflax.benchmark import jax_workloads, torch_workloads
from strideflax.benchmark.contenders import CONTENDERS
from strideflax.benchmark.ratios import differences
from strideflax.benchmark.torch_workloads import multiply_adds
from strideflax.benchmark.workloads import OperatorCall, Step, off_the_path
from strideflax.config import Config
from strideflax.config_file import override
from strideflax.export.torch_net import MiniResNet
from strideflax.inspection import count_macs
from strideflax.model import MiniResNet as Ours

SMALL = {"model.widths": (4, 8), "model.blocks": (2, 1), "model.strides": (1, 2), "batch_size": 8}


def config(**changes):
    values = baseline("quick").to_dict()
    override(values, SMALL | changes)
    return Config.from_dict(values)


@pytest.mark.parametrize("contender", ["torch", "torch_last"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_training_goes_the_same_way(contender, dtype, tmp_path):
    step = Step.of("tiny", config(**{"model.downsample": "max_pool"}), dtype=dtype, size=12)
    ours = jax_workloads.prepare(step, CONTENDERS["auto"], tmp_path / "weights.npz").facts
    theirs = torch_workloads.prepare(step, CONTENDERS[contender], tmp_path / "weights.npz").facts
    assert differences(ours, theirs, step) == ""
    assert differences(ours, theirs | {"loss_sum": ours["loss_sum"] * 1.05}, step) != ""


def test_another_weight_decay_is_noticed(tmp_path):
    step = Step.of("tiny", config(), dtype="float32", size=12)
    ours = jax_workloads.prepare(step, CONTENDERS["auto"], tmp_path / "weights.npz").facts
    optimizer = step.config["optimizer"] | {"weight_decay": 1.0}
    changed = dataclasses.replace(step, config=step.config | {"optimizer": optimizer})
    theirs = torch_workloads.prepare(changed, CONTENDERS["torch"], tmp_path / "weights.npz").facts
    assert "summed losses" in differences(ours, theirs, step)


@pytest.mark.parametrize("operator", ["conv", "max_pool", "avg_pool", "blur_pool"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_operators_and_their_gradients_agree(operator, dtype, tmp_path):
    features = 3 if operator == "conv" else 2
    workload = OperatorCall(
        operator=operator, window=3, stride=2, size=7, in_features=2, out_features=features, batch=2, backward=True,
        dtype=dtype,
    )  # fmt: skip
    ours, theirs = (
        side.prepare(workload, CONTENDERS[name], tmp_path / "none").facts
        for side, name in ((jax_workloads, "auto"), (torch_workloads, "torch"))
    )
    assert differences(ours, theirs, workload) == ""


def test_multiply_adds_are_those_of_the_inspection():
    model = config().model  # strided: no pool, whose adds the inspection counts too
    mean = 4 * 4 * 8  # the global mean's
    net = MiniResNet(dataclasses.asdict(model))
    assert multiply_adds(net, (16, 16)) == count_macs(Ours(model, key=jax.random.key(0)), 16) - mean


def test_multiply_adds_are_counted_on_the_device_of_the_net():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 6 * 6, 10))
    assert multiply_adds(net.to("meta"), (8, 8)) == 6 * 6 * 3 * 3 * 3 * 4 + 4 * 6 * 6 * 10


@pytest.mark.parametrize("workload", off_the_path("float32"), ids=lambda workload: workload.name)
def test_convolutions_off_xla_s_path_agree(workload, tmp_path):
    small = dataclasses.replace(
        workload, batch=2, size=8, in_features=workload.groups * 2, out_features=workload.groups * 4
    )
    ours, theirs = (
        side.prepare(small, CONTENDERS[name], tmp_path / "none").facts
        for side, name in ((jax_workloads, "auto"), (torch_workloads, "torch_last"))
    )
    assert differences(ours, theirs, small) == ""
    assert ours["arithmetic"] == theirs["arithmetic"] == "float32"


def test_graphs_are_left_out_without_cuda():
    if torch_workloads.DEVICE == "cpu":
        with pytest.raises(ValueError, match="CUDA graphs need CUDA"):
            torch_workloads.describe(CONTENDERS["torch_graphs"])


def test_float32_and_tf32_are_no_pair(tmp_path):
    workload = OperatorCall(operator="conv", window=1, stride=1, size=2, in_features=1, out_features=1, batch=1)
    facts = jax_workloads.prepare(workload, CONTENDERS["auto"], tmp_path / "none").facts
    assert differences(facts, facts | {"arithmetic": "tf32"}, workload) == "arithmetic tf32 instead of float32"
