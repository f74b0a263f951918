"""A run's configuration: frozen, typed, checked values, and the fingerprint that names a run.

The numbers live in ``configs/``; nothing here has a default, so that each is written once.
"""

import dataclasses
import hashlib
import json
import math
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from strideflax.errors import UserError
from strideflax.operators.geometry import MODULE_PADDINGS, per_axis
from strideflax.operators.table import downsampler

PLACEMENTS = ("after", "before", "added")
DTYPES = ("float32", "bfloat16")
DATASETS = ("cifar10", "shapes")
OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("one_cycle", "cosine", "constant")
Stride = int | tuple[int, int]


class ConfigError(UserError, ValueError):
    """A configuration that cannot be run; the message is one line that says what is wrong and what is allowed."""


def _require(allowed: bool, field: str, value: object, expected: str) -> None:
    if not allowed:
        raise ConfigError(f"config.{field} must be {expected}, got {value!r}")


def _choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    _require(value in choices, field, value, f"one of {', '.join(choices)}")


def _checked(field: str, check: Callable[[], object]) -> None:
    try:
        check()
    except ValueError as error:
        raise ConfigError(f"config.{field}: {error}") from None


@dataclass(frozen=True, kw_only=True)
class StemConfig:
    """The first layer: a ``kernel`` x ``kernel`` convolution at ``stride``, downsampled by ``downsample``, then a pool.

    ``pool`` names a second operator, of stride 2, or is "none".
    """

    kernel: int
    stride: Stride
    downsample: str
    pool: str

    def __post_init__(self) -> None:
        _require(self.kernel >= 1, "model.stem.kernel", self.kernel, "an int >= 1")
        _checked("model.stem.stride", lambda: per_axis(self.stride, 2, "stride"))
        _checked("model.stem.downsample", lambda: downsampler(self.downsample))
        if self.pool != "none":
            _checked("model.stem.pool", lambda: downsampler(self.pool))
            _require(not downsampler(self.pool).convolves, "model.stem.pool", self.pool, "none or a pool")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network: a stem, stages of residual blocks, global average, a linear classifier.

    Attributes:
        stem: the first layer.
        widths, blocks, strides: channels, number of blocks and stride of each stage.
        downsample: name of the operator (`strideflax.operators.table.DOWNSAMPLERS`) in every block with a stride.
        window: the operator's window or filter length; 0 is the operator's default.
        placement: of a pool on the main path, "after" the block's first convolution or "before" it. An operator that
            convolves stands in that convolution's place, or is a layer of its own before it if "added".
        padding: the border convention of every layer.
        residual: False builds the plain net without shortcuts.
        batch_norm_momentum: share of the running statistics kept at each step.
        dtype: of the computation; parameters are float32.
    """

    stem: StemConfig
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    strides: tuple[Stride, ...]
    downsample: str
    window: int
    placement: str
    padding: str
    residual: bool
    batch_norm_momentum: float
    dtype: str

    def __post_init__(self) -> None:
        stages = len(self.widths)
        _require(stages > 0 and all(w >= 1 for w in self.widths), "model.widths", self.widths, "one or more ints >= 1")
        for field in ("blocks", "strides"):
            value = getattr(self, field)
            _require(len(value) == stages, f"model.{field}", value, f"{stages} entries, one per entry of model.widths")
        _require(all(b >= 1 for b in self.blocks), "model.blocks", self.blocks, "ints >= 1")
        for stride in self.strides:
            _checked("model.strides", lambda stride=stride: per_axis(stride, 2, "stride"))  # type: ignore[misc]
        _checked("model.downsample", lambda: downsampler(self.downsample))
        _require(self.window >= 0, "model.window", self.window, "0 (the operator's default) or a window size >= 1")
        windowless = downsampler(self.downsample).default_window is None
        _require(
            not (self.window and windowless), "model.window", self.window, f"0, as {self.downsample} has no window"
        )
        _choice("model.placement", self.placement, PLACEMENTS)
        _choice("model.padding", self.padding, MODULE_PADDINGS)
        _require(0 <= self.batch_norm_momentum < 1, "model.batch_norm_momentum", self.batch_norm_momentum, "in [0, 1)")
        _choice("model.dtype", self.dtype, DTYPES)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The images.

    Attributes:
        name: "cifar10", or "shapes" (the embedded set, drawn by code).
        dir: folder with a local copy of CIFAR-10; "" means tensorflow-datasets' own folder.
        train_count: images to train on; 0 means all that validation leaves.
        val_count: images split from the training set for choices.
        test_count: images of the test set to use; 0 means all.
        stretch: how often each pixel is repeated along rows and columns; (1, 2) makes 32 x 64 inputs.
    """

    name: str
    dir: str
    train_count: int
    val_count: int
    test_count: int
    stretch: tuple[int, int]

    def __post_init__(self) -> None:
        _choice("data.name", self.name, DATASETS)
        for field in ("train_count", "val_count", "test_count"):
            _require(getattr(self, field) >= 0, f"data.{field}", getattr(self, field), "an int >= 0")
        _require(
            all(1 <= s <= 8 for s in self.stretch), "data.stretch", self.stretch, "two ints in 1..8 (rows, columns)"
        )


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """What happens to training images, per image, inside the step.

    Attributes:
        crop: zero-pad by this many pixels and crop back at a random place; 0 is off.
        flip: mirror left-right half of the time.
        cutout: side in pixels of a square set to the image's mean colour at a random place; 0 is off.
    """

    crop: int
    flip: bool
    cutout: int

    def __post_init__(self) -> None:
        for field in ("crop", "cutout"):
            _require(
                0 <= getattr(self, field) <= 32, f"augment.{field}", getattr(self, field), "an int in 0..32 (pixels)"
            )


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How parameters move.

    Attributes:
        name: "sgd" (Nesterov momentum) or "adamw".
        schedule: "one_cycle" (linear up for ``warmup_epochs``, linear down to 0), "cosine" or "constant", after warm-up.
        learning_rate: the peak.
        momentum: of SGD; Adam's first-moment decay.
        weight_decay: decoupled, times the learning rate, on convolution and linear kernels alone.
        label_smoothing: share of the target spread over all classes.
        clip_norm: largest global gradient norm; 0 is off.
    """

    name: str
    schedule: str
    learning_rate: float
    warmup_epochs: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    clip_norm: float

    def __post_init__(self) -> None:
        _choice("optimizer.name", self.name, OPTIMIZERS)
        _choice("optimizer.schedule", self.schedule, SCHEDULES)
        _require(self.learning_rate > 0, "optimizer.learning_rate", self.learning_rate, "a number > 0")
        for field in ("warmup_epochs", "weight_decay", "clip_norm"):
            _require(getattr(self, field) >= 0, f"optimizer.{field}", getattr(self, field), "a number >= 0")
        for field in ("momentum", "label_smoothing"):
            _require(0 <= getattr(self, field) < 1, f"optimizer.{field}", getattr(self, field), "a number in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that a run depends on.

    Attributes:
        seed: of initial values, data order, augmentation and stochastic operators, one stream each.
        epochs: passes over the training images; a fraction is allowed.
        batch_size: images a step, over all devices.
        eval_batch_size: images a step when evaluating; does not change a result.
        checkpoint_epochs: epochs between checkpoints; does not change a result.
    """

    model: ModelConfig
    data: DataConfig
    augment: AugmentConfig
    optimizer: OptimizerConfig
    seed: int
    epochs: float
    batch_size: int
    eval_batch_size: int
    checkpoint_epochs: int

    def __post_init__(self) -> None:
        _require(0 <= self.seed < 2**32, "seed", self.seed, "an int in 0..2^32 - 1")
        _require(0 < self.epochs <= 10_000, "epochs", self.epochs, "a number in (0, 10000]")
        for field in ("batch_size", "eval_batch_size", "checkpoint_epochs"):
            _require(getattr(self, field) >= 1, field, getattr(self, field), "an int >= 1")
        _require(
            self.optimizer.warmup_epochs <= self.epochs,
            "optimizer.warmup_epochs",
            self.optimizer.warmup_epochs,
            f"at most config.epochs ({self.epochs})",
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a checked config from nested plain values, e.g. an ml_collections dict's or a ``config.json``'s.

        Raises:
            ConfigError: a field that is missing, unknown, of the wrong type, not finite or out of its range.
        """
        return _build(cls, values, "config")

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values that JSON can hold."""
        return json.loads(json.dumps(dataclasses.asdict(self), allow_nan=False))

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits over all that changes the result: not the data's folder, nor how often to save."""
        return hashlib.sha256(json.dumps(self._deciding(), sort_keys=True).encode()).hexdigest()[:12]

    def differences(self, other: Self) -> dict[str, tuple[Any, Any]]:
        """Return each field that changes the result and differs: its dotted name, this config's value, the other's."""
        ours, theirs = flat(self._deciding()), flat(other._deciding())
        return {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}

    def _deciding(self) -> dict[str, Any]:
        values = self.to_dict()
        del values["data"]["dir"], values["eval_batch_size"], values["checkpoint_epochs"]
        return values


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested ``values`` as one dict of dotted names: ``{"model.downsample": "max_pool"}``."""
    leaves: dict[str, Any] = {}
    for name, value in values.items():
        leaves |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return leaves


def _build(cls: type, values: Any, path: str) -> Any:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path} must be a group of fields, got {values!r}")
    expected = typing.get_type_hints(cls)
    if unknown := sorted(set(values) - set(expected)):
        raise ConfigError(f"{path}.{unknown[0]} does not exist; {path} has {', '.join(expected)}")
    if missing := [name for name in expected if name not in values]:
        raise ConfigError(f"{path}.{missing[0]} is missing")
    return cls(**{name: _typed(values[name], kind, f"{path}.{name}") for name, kind in expected.items()})


def _typed(value: Any, kind: Any, path: str) -> Any:
    """Return ``value`` as ``kind``: an int passes for a float, a list for a tuple; nothing else is converted."""
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, path)  # type: ignore[arg-type]
    if isinstance(kind, types.UnionType):
        for option in typing.get_args(kind):
            try:
                return _typed(value, option, path)
            except ConfigError:
                continue
        raise ConfigError(f"{path} must be {kind}, got {value!r}")
    if typing.get_origin(kind) is tuple:
        item, *rest = typing.get_args(kind)
        length = None if rest == [...] else 1 + len(rest)
        if not isinstance(value, (tuple, list)) or length not in (None, len(value)):
            raise ConfigError(f"{path} must be a tuple{f' of {length} entries' if length else ''}, got {value!r}")
        return tuple(_typed(entry, item, f"{path}[{i}]") for i, entry in enumerate(value))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) <= sys.float_info.max else math.inf
    if type(value) is not kind:
        raise ConfigError(f"{path} must be {kind.__name__}, got {value!r}")
    if kind is float and not math.isfinite(value):
        raise ConfigError(f"{path} must be finite, got {value!r}")
    return value
