"""Runs where PyTorch, onnxscript and onnxruntime are installed; tests/conftest.py says so where they are not."""

import json

import numpy as np
import onnxruntime
import pytest

from strideflax.export import export_run


@pytest.mark.parametrize(
    "model",
    [
        {"downsample": "strided_conv"},
        {"downsample": "blur_pool", "padding": "REFLECT"},
        {"downsample": "avg_pool"},
        {"downsample": "soft_pool", "padding": "SAME"},
        {"downsample": "haar_all"},
    ],
    ids=lambda model: model["downsample"],
)
def test_the_model_says_what_the_run_says(model, make_run, images, capfd):
    run = make_run(**model)
    content = export_run(run, "onnx")["model.onnx"]
    assert capfd.readouterr() == ("", "")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for count in (1, 5):
        (logits,) = session.run(["logits"], {"images": images[:count].transpose(0, 3, 1, 2)})
        expected = np.asarray(run.predict(images[:count]))
        np.testing.assert_allclose(logits, expected, atol=1e-5 * np.abs(expected).max())
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == ["ant", "bee", "owl"]
