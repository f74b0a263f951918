"""A run's configuration: frozen, typed, checked values, and the fingerprint that names a run.

The numbers live in ``configs/``, each written once.
"""

import ast
import dataclasses
import hashlib
import json
import math
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from strideflax.errors import ConfigError
from strideflax.model.config import ModelConfig, StemConfig, require, require_choice

__all__ = [
    "AugmentConfig",
    "Config",
    "ConfigError",
    "DataConfig",
    "ModelConfig",
    "OptimizerConfig",
    "StemConfig",
]

DATASETS = ("cifar10", "shapes")
OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("one_cycle", "cosine", "constant")

# The fields that may be None, "not set", and what stood for that when they could not: in the files of older runs, in what a
# fingerprint covers, in tables of runs, and still on the command line.
NOT_SET: dict[str, Any] = {
    "model.window": 0,
    "model.stem.pool": "none",
    "data.dir": "",
    "data.train_count": 0,
    "data.test_count": 0,
    "optimizer.clip_norm": 0.0,
}
NEWER = ("model.taps",)  # fields that older runs do not have: not set, they are in no fingerprint and no table


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The images.

    Attributes:
        name: "cifar10", or "shapes" (the embedded set, drawn by code).
        dir: folder with a local copy of CIFAR-10; None means tensorflow-datasets' own folder.
        train_count: images to train on; None means all that validation leaves.
        val_count: images split from the training set for choices.
        test_count: images of the test set to use; None means all.
        stretch: how often each pixel is repeated along rows and columns; (1, 2) makes 32 x 64 inputs.
    """

    name: str
    dir: str | None = None
    train_count: int | None = None
    val_count: int
    test_count: int | None = None
    stretch: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        require_choice("data.name", self.name, DATASETS)
        require(self.val_count >= 0, "data.val_count", self.val_count, "an int >= 0")
        for name, count in (("train_count", self.train_count), ("test_count", self.test_count)):
            require(count is None or count >= 1, f"data.{name}", count, "an int >= 1, or None for all images")
        allowed = all(1 <= factor <= 8 for factor in self.stretch)
        require(allowed, "data.stretch", self.stretch, "two ints in 1..8 (rows, columns)")


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
        for name, pixels in (("crop", self.crop), ("cutout", self.cutout)):
            require(0 <= pixels <= 32, f"augment.{name}", pixels, "an int in 0..32 (pixels)")


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
        clip_norm: largest global gradient norm; None is no limit.
    """

    name: str
    schedule: str
    learning_rate: float
    warmup_epochs: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        require_choice("optimizer.name", self.name, OPTIMIZERS)
        require_choice("optimizer.schedule", self.schedule, SCHEDULES)
        require(self.learning_rate > 0, "optimizer.learning_rate", self.learning_rate, "a number > 0")
        for name, value in (("warmup_epochs", self.warmup_epochs), ("weight_decay", self.weight_decay)):
            require(value >= 0, f"optimizer.{name}", value, "a number >= 0")
        for name, value in (("momentum", self.momentum), ("label_smoothing", self.label_smoothing)):
            require(0 <= value < 1, f"optimizer.{name}", value, "a number in [0, 1)")
        is_norm = self.clip_norm is None or self.clip_norm > 0
        require(is_norm, "optimizer.clip_norm", self.clip_norm, "a number > 0, or None for no limit")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that a run depends on.

    Attributes:
        seed: of initial values, data order, augmentation and stochastic operators, one stream each.
        epochs: passes over the training images; a fraction is allowed.
        batch_size: images per step, over all devices.
        eval_batch_size: images per step when evaluating; does not change a result.
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
        require(0 <= self.seed < 2**32, "seed", self.seed, "an int in 0..2^32 - 1")
        require(0 < self.epochs <= 10_000, "epochs", self.epochs, "a number in (0, 10000]")
        for name in ("batch_size", "eval_batch_size", "checkpoint_epochs"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "an int >= 1")
        warmup_epochs = self.optimizer.warmup_epochs
        allowed = warmup_epochs <= self.epochs
        require(allowed, "optimizer.warmup_epochs", warmup_epochs, f"at most config.epochs ({self.epochs})")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a checked config from nested plain values, e.g. an ml_collections dict's or a ``config.json``'s.

        A field that may be None may be missing, and may hold what stood for "not set" in older files.

        Raises:
            ConfigError: a field that is missing, unknown, of the wrong type, not finite or out of its range.
        """
        return _build(cls, values, "")

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values that JSON can hold."""
        return json.loads(json.dumps(dataclasses.asdict(self), allow_nan=False))

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits over all that changes the result: not the data's folder, nor how often to save."""
        values = with_not_set_as_before(_deciding(self.to_dict()))
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]

    def differences(self, other: Self) -> dict[str, tuple[Any, Any]]:
        """Return each field that changes the result and differs: its dotted name, this config's value, the other's."""
        ours, theirs = flat(_deciding(self.to_dict())), flat(_deciding(other.to_dict()))
        return {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}


def _deciding(values: dict[str, Any]) -> dict[str, Any]:
    """Return a config's nested values without those that do not change a result."""
    del values["data"]["dir"], values["eval_batch_size"], values["checkpoint_epochs"]
    return values


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested ``values`` as one dict of dotted names: ``{"model.downsample": "max_pool"}``."""
    leaves: dict[str, Any] = {}
    for name, value in values.items():
        leaves |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return leaves


def with_not_set_as_before(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a config's nested ``values`` with what stood for "not set" in place of None, as in the runs before.

    So a run keeps its fingerprint, and a row of an older table equals one of the same run made today.
    """
    changed: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            changed[name] = with_not_set_as_before(value, f"{path}.")
        elif value is not None or path not in NEWER:
            changed[name] = NOT_SET.get(path) if value is None else value
    return changed


def _build(cls: type, values: Any, path: str) -> Any:
    """Return a ``cls`` of the nested ``values`` of the group at the dotted ``path``, which is "" for the whole."""
    shown = f"config.{path}".rstrip(".")
    if not isinstance(values, Mapping):
        raise ConfigError(f"{shown} must be a group of fields, got {values!r}")
    kinds = typing.get_type_hints(cls)
    for name in sorted(set(values) - set(kinds)):
        raise ConfigError(f"{shown}.{name} does not exist; {shown} has {', '.join(kinds)}")
    fields = {}
    for name, kind in kinds.items():
        if name in values:
            fields[name] = _typed(values[name], kind, f"{path}{name}")
        elif not may_be_none(kind):
            raise ConfigError(f"{shown}.{name} is missing")
    return cls(**fields)


def may_be_none(kind: Any) -> bool:
    """Return whether a field of this type may be None, "not set"."""
    return type(None) in typing.get_args(kind)


def _typed(value: Any, kind: Any, path: str) -> Any:
    """Return ``value`` as ``kind``: an int passes for a float, a list for a tuple; nothing else is converted."""
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, f"{path}.")  # type: ignore[arg-type]
    if may_be_none(kind):
        before = NOT_SET.get(path)
        if value is None or (value == before and not isinstance(value, bool)):
            return None
        kind = _without_none(kind)
    if isinstance(kind, types.UnionType):
        for option in typing.get_args(kind):
            try:
                return _typed(value, option, path)
            except ConfigError:
                continue
        raise ConfigError(f"config.{path} must be {kind}, got {value!r}")
    if typing.get_origin(kind) is tuple:
        item, *rest = typing.get_args(kind)
        length = None if rest == [...] else 1 + len(rest)
        if not isinstance(value, (tuple, list)) or length not in (None, len(value)):
            expected = f"a tuple of {length} entries" if length else "a tuple"
            raise ConfigError(f"config.{path} must be {expected}, got {value!r}")
        return tuple(_typed(entry, item, f"{path}[{i}]") for i, entry in enumerate(value))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) <= sys.float_info.max else math.inf
    if type(value) is not kind:
        raise ConfigError(f"config.{path} must be {kind.__name__}, got {value!r}")
    if kind is float and not math.isfinite(value):
        raise ConfigError(f"config.{path} must be finite, got {value!r}")
    return value


def _without_none(kind: Any) -> Any:
    """Return ``int`` for ``int | None``."""
    (only,) = set(typing.get_args(kind)) - {type(None)}
    return only


def parse_value(path: str, text: str) -> Any:
    """Return what ``text``, a word of the command line, says of the field at the dotted ``path``, as its type reads it.

    What can't be read so comes back as it is: the check of the whole config says what was expected.

    Raises:
        ConfigError: there is no such field.
    """
    kind = field_type(path)
    if may_be_none(kind):
        if text == "None":
            return None
        kind = _without_none(kind)
    if kind is str:
        return text
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return float(text) if kind is float else ast.literal_eval(text)
    except Exception:  # whatever is not a literal
        return text


def value_of(config: Config, path: str) -> Any:
    """Return the value of the field at a dotted path, e.g. ``"model.window"``."""
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


def typed_value(path: str, text: str) -> Any:
    """Return `parse_value`, checked: of the field's type, and None for what stands for "not set".

    Raises:
        ConfigError: there is no such field, or ``text`` is not of its type.
    """
    return _typed(parse_value(path, text), field_type(path), path)


def field_type(path: str) -> Any:
    """Return the declared type of the field at a dotted path, e.g. ``int | None`` for ``"model.window"``.

    Raises:
        ConfigError: there is no such field, with those that there are.
    """
    kind: Any = Config
    shown = "config"
    for name in path.split("."):
        known = typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
        if name not in known:
            has = f"has {', '.join(known)}" if known else "is a single value"
            raise ConfigError(f"{shown}.{name} does not exist; {shown} {has}")
        kind, shown = known[name], f"{shown}.{name}"
    return kind
