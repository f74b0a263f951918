"""A finished run in PyTorch: its weights beside the file that defines the network, or as an ONNX model."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

from strideflax.export.weights import describe, named_weights, to_safetensors
from strideflax.training.monitoring import require_extra
from strideflax.training.result import FinishedRun

NET = Path(__file__).parent / "torch_net.py"
OPSET = 20  # of ONNX, since 2023
EXAMPLES = 2  # images that the network is traced on; one would be taken for a fixed batch


def to_torch(run: FinishedRun) -> dict[str, bytes]:
    """Return ``weights.safetensors`` and ``torch_net.py``, which defines the network and loads them; it computes in float32.

    Raises:
        UserError: the package safetensors is not installed.
    """
    return {**to_safetensors(run), NET.name: NET.read_bytes()}


def to_onnx(run: FinishedRun) -> dict[str, bytes]:
    """Return ``model.onnx``: ``images`` uint8 ``[batch, channels, height, width]`` -> ``logits`` ``[batch, classes]``, float32.

    Normalisation is within, and the batch may have any size. What `describe` says is the model's metadata. PyTorch's own
    exporter writes it, from the network of ``torch_net.py``.

    Raises:
        UserError: PyTorch or onnxscript is not installed.
    """
    torch = require_extra("torch", "onnx", "export --to onnx")
    require_extra("onnxscript", "onnx", "export --to onnx")
    from strideflax.export.torch_net import classifier

    height, width, channels = run.image_shape
    net = classifier(named_weights(run), describe(run))
    images = torch.zeros((EXAMPLES, channels, height, width), dtype=torch.uint8)
    with _in_silence():
        program = torch.onnx.export(
            net,
            (images,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    program.model.metadata_props.update(describe(run))
    return {"model.onnx": program.model_proto.SerializeToString()}


@contextlib.contextmanager
def _in_silence() -> Iterator[None]:
    """Keep what the exporter prints, logs and warns of from the terminal; what goes wrong it raises."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
