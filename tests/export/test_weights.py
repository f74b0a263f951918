import dataclasses
import io
import json

import jax
import numpy as np
import safetensors.numpy
from export.conftest import DATASET
from flax import nnx
from safetensors import safe_open

from strideflax.config import ModelConfig
from strideflax.config_values import build
from strideflax.export import describe, export_run, named_weights
from strideflax.model import MiniResNet


def test_the_names_are_the_paths_in_the_model(make_run):
    run = make_run(downsample="gem_pool")
    weights = named_weights(run)
    np.testing.assert_array_equal(weights["stem.layers.0.kernel"], run.model.stem.layers[0].kernel[...])
    np.testing.assert_array_equal(
        weights["blocks.2.reduction.layers.2.log_p"], run.model.blocks[2].reduction.layers[2].log_p
    )
    np.testing.assert_array_equal(weights["blocks.0.norm.var"], run.model.blocks[0].norm.var[...])
    assert weights["head.kernel"].shape == (8, 3)
    assert len(weights) == len(jax.tree.leaves(nnx.state(run.model)))


def test_a_file_alone_is_enough_to_build_the_network_again(make_run, images, tmp_path):
    run = make_run(downsample="lip")
    (tmp_path / "w.safetensors").write_bytes(export_run(run, "safetensors")["weights.safetensors"])
    weights = safetensors.numpy.load_file(tmp_path / "w.safetensors")
    with safe_open(tmp_path / "w.safetensors", framework="numpy") as file:
        described = {name: json.loads(value) for name, value in file.metadata().items()}
    net = MiniResNet(
        build(ModelConfig, described["model"], "model."), classes=len(described["classes"]), key=jax.random.key(1)
    )
    state = nnx.to_flat_state(nnx.state(net))
    nnx.update(
        net, nnx.from_flat_state([(path, leaf.replace(weights[".".join(map(str, path))])) for path, leaf in state])
    )
    np.testing.assert_array_equal(dataclasses.replace(run, model=net).predict(images), run.predict(images))
    for name, value in DATASET.items():
        assert described["dataset" if name == "name" else name] == value


def test_npz_holds_the_same(make_run):
    run = make_run()
    with np.load(io.BytesIO(export_run(run, "npz")["weights.npz"])) as stored:
        assert json.loads(str(stored["description"])) == describe(run)
        assert set(stored.files) == {"description", *named_weights(run)}
        for name, array in named_weights(run).items():
            np.testing.assert_array_equal(stored[name], array)
