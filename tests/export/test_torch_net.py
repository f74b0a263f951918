"""Runs where PyTorch is installed; tests/conftest.py says so where it is not."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from strideflax.export import describe, export_run, named_weights
from strideflax.export.targets import TORCH_OPERATORS
from strideflax.export.torch_net import OPERATORS, MiniResNet, classifier

CASES = [
    *({"downsample": operator} for operator in OPERATORS),
    {"downsample": "strided_conv", "window": 5, "residual": False},
    {"downsample": "strided_conv", "window": 4, "padding": "SAME"},
    {"downsample": "max_pool", "window": 3, "placement": "before", "strides": (1, (2, 1))},
    {"downsample": "avg_pool", "window": 4, "padding": "SAME_LOWER"},
    {"downsample": "gem_pool", "window": 3, "padding": "REFLECT"},
    {"downsample": "max_pool", "strides": (1, 3)},
    {"downsample": "conv_blur", "taps": 5, "placement": "added", "padding": "REFLECT"},
    {"downsample": "conv_pool", "placement": "added", "padding": "CIRCULAR"},
    {"downsample": "max_blur", "padding": "SAME"},
    {"downsample": "soft_pool", "padding": "SAME"},
    {"downsample": "haar_all", "padding": "CIRCULAR", "placement": "before"},
    {"stem.kernel": 4, "stem.stride": 2, "stem.downsample": "space_to_depth", "stem.pool": "lip"},
    {"network": "resnet9", "downsample": "haar_all", "stem.stride": 1, "stem.width": 6, "blocks": (1, 0)},
    {"network": "resnet9", "downsample": "blur_pool", "stem.stride": 1, "placement": "before", "strides": (2, 2)},
]


@pytest.mark.parametrize("model", CASES, ids=lambda model: " ".join(map(str, model.values())))
def test_equal_logits_with_the_same_weights_and_statistics(model, make_run, images):
    run = make_run(**model)
    net = classifier(named_weights(run), describe(run))
    with torch.no_grad():
        logits = net(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    expected = np.asarray(run.predict(images))
    np.testing.assert_allclose(logits, expected, atol=1e-5 * np.abs(expected).max())


def test_the_files_are_enough_where_there_is_no_strideflax(make_run, images, tmp_path):
    run = make_run(downsample="blur_pool")
    for name, content in export_run(run, "torch").items():
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "images.npy", images.transpose(0, 3, 1, 2))
    script = (
        "import sys, numpy, torch; sys.modules.update(dict.fromkeys(['strideflax', 'jax']))\n"
        "from torch_net import load; net = load('weights.safetensors')\n"
        "with torch.no_grad(): numpy.save('logits.npy', net(torch.from_numpy(numpy.load('images.npy'))).numpy())\n"
        "print(*net.classes)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["ant", "bee", "owl"], done.stderr
    expected = np.asarray(run.predict(images))
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), expected, atol=1e-5 * np.abs(expected).max())


def test_the_operators_are_those_that_the_table_of_targets_says():
    assert set(OPERATORS) == set(TORCH_OPERATORS)


def test_what_the_twin_lacks_is_refused(make_run):
    with pytest.raises(
        ValueError, match=r"in PyTorch, config\.model\.downsample must be one of strided_conv, .* got 'aps'"
    ):
        MiniResNet(make_run(downsample="aps").config.to_dict()["model"])


def test_weights_of_another_net_are_refused(make_run):
    net = MiniResNet(make_run().config.to_dict()["model"])
    with pytest.raises(ValueError, match="weights differ"):
        net.load({"head.kernel": np.zeros((8, 10))})
    with pytest.raises(ValueError, match=r"head.weight must have shape \(10, 8\), got \(3, 8\)"):
        net.load(named_weights(make_run()))
