"""What a finished run can be exported to: the table of targets."""

from collections.abc import Callable
from dataclasses import dataclass

from strideflax.errors import UserError
from strideflax.export.jax_program import to_jax
from strideflax.export.torch_files import to_onnx, to_torch
from strideflax.export.weights import to_npz, to_safetensors
from strideflax.training.result import FinishedRun

# Those of torch_net.py, which is not imported here, as it needs PyTorch.
TORCH_OPERATORS = (
    "strided_conv", "conv_pool", "conv_blur", "resnet_d", "subsample", "max_pool", "avg_pool", "blur_pool", "max_blur",
    "l2_pool", "gem_pool", "max_avg", "mixed_pool", "gated_pool", "soft_pool", "stochastic_pool", "lip", "space_to_depth",
    "haar_low", "haar_all",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A target's entry in the table.

    Attributes:
        files: makes the contents of the files of a run, by their names.
        operators: those that it can express; None is all, a user's own too.
    """

    files: Callable[[FinishedRun], dict[str, bytes]]
    operators: tuple[str, ...] | None = None


TARGETS: dict[str, Target] = {
    "safetensors": Target(to_safetensors),
    "npz": Target(to_npz),
    "torch": Target(to_torch, operators=TORCH_OPERATORS),
    "onnx": Target(to_onnx, operators=TORCH_OPERATORS),
    "jax": Target(to_jax),
}


def export_run(run: FinishedRun, target: str) -> dict[str, bytes]:
    """Return the files of ``run`` in the form of ``target``, their contents by their names.

    Args:
        run: what `strideflax.training.restore_run` returns.
        target: one of `TARGETS`.

    Raises:
        UserError: an unknown target, a package that it needs and that is not installed, or a network that it can't express.
    """
    if target not in TARGETS:
        raise UserError(f"unknown target {target!r}; known: {', '.join(TARGETS)}")
    operators = TARGETS[target].operators
    if operators is not None:
        _check_expressible(run, target, operators)
    return TARGETS[target].files(run)


def _check_expressible(run: FinishedRun, target: str, operators: tuple[str, ...]) -> None:
    every = ", ".join(name for name, entry in TARGETS.items() if entry.operators is None)
    model = run.config.model
    for name in (model.downsample, model.stem.downsample, model.stem.pool):
        if name is not None and name not in operators:
            raise UserError(
                f"{target} has no {name}; it has {', '.join(operators)}; every operator can be exported to {every}"
            )
    for field, value in (("decoder", model.decoder), ("output_stride", model.output_stride)):
        if value is not None:
            raise UserError(
                f"{target} has no network with config.model.{field}={value!r}, such as one for masks; every network can be "
                f"exported to {every}"
            )
