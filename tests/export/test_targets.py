import dataclasses

import jax
import numpy as np
import pytest
from jax import export

from strideflax import DOWNSAMPLERS
from strideflax.commands.export import FORMS
from strideflax.config import DataConfig
from strideflax.errors import UserError
from strideflax.export import TARGETS, export_run
from strideflax.export.targets import TORCH_OPERATORS


def test_the_command_knows_the_targets():
    assert tuple(TARGETS) == FORMS
    assert set(TORCH_OPERATORS) < set(DOWNSAMPLERS)


def test_a_program_of_jax_takes_any_number_of_images_and_says_the_same(make_run, images):
    run = make_run(downsample="aps")
    program = export.deserialize(export_run(run, "jax")["program.jax"])
    for count in (1, 5):
        logits = jax.jit(program.call)(images[:count])
        np.testing.assert_allclose(logits, run.predict(images[:count]), rtol=1e-5, atol=1e-5)
    assert {"cpu", "cuda", "tpu"} <= set(program.platforms)


@pytest.mark.parametrize(
    ("target", "model"),
    [("torch", {"downsample": "spectral_pool"}), ("onnx", {"stem.pool": "lps"}), ("onnx", {"stem.downsample": "aps"})],
)
def test_an_operator_that_a_target_lacks_is_refused_in_one_line(make_run, target, model):
    (name,) = model.values()
    with pytest.raises(UserError, match=rf"^{target} has no {name}; it has strided_conv, .*to safetensors, npz, jax$"):
        export_run(make_run(**model), target)


def test_an_unknown_target(make_run):
    with pytest.raises(UserError, match=r"unknown target 'tflite'; known: safetensors, npz, torch, onnx, jax"):
        export_run(make_run(), "tflite")


def test_a_net_that_classifies_pixels_is_refused_too(make_run):
    run = make_run()
    for field, value in (("decoder", "resize"), ("output_stride", 4)):
        model = dataclasses.replace(run.config.model, **{field: value})
        run_of_pixels = dataclasses.replace(run, config=_with_model(run.config, model))
        with pytest.raises(UserError, match=rf"^torch has no network with config.model.{field}={value!r}, .*npz, jax$"):
            export_run(run_of_pixels, "torch")


def _with_model(config, model):
    task = {"task": "segment", "data": DataConfig(name="scenes", val_count=0)} if model.decoder else {}
    return dataclasses.replace(config, model=model, **task)
