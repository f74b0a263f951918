"""From a configuration's plain values, as files hold them, to its typed fields, and what stands for "not set" in them."""

import dataclasses
import math
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any

from strideflax.errors import ConfigError

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
# Fields that older runs do not have, each with its value in those: at that value it is in no fingerprint and no table.
NEWER: dict[str, Any] = {
    "model.taps": None,
    "model.output_stride": None,
    "model.decoder": None,
    "model.upsample": None,
    "model.network": "mini_resnet",
    "model.stem.width": None,
    "data.size": None,
    "data.skip_unreadable": False,
    "data.void_label": None,
    "augment.scale": 0.0,
    "augment.crop_padding": "zeros",
    "augment.alternate_flips": False,
    "optimizer.average_decay": None,
    "task": "classify",
}


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
        elif path not in NEWER or value != NEWER[path]:
            changed[name] = NOT_SET.get(path) if value is None else value
    return changed


def build(cls: type, values: Any, path: str) -> Any:
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
            fields[name] = typed(values[name], kind, f"{path}{name}")
        elif f"{path}{name}" not in NEWER and not may_be_none(kind):
            raise ConfigError(f"{shown}.{name} is missing")
    return cls(**fields)


def may_be_none(kind: Any) -> bool:
    """Return whether a field of this type may be None, "not set"."""
    return type(None) in typing.get_args(kind)


def typed(value: Any, kind: Any, path: str) -> Any:
    """Return ``value`` as ``kind``: an int passes for a float, a list for a tuple; nothing else is converted."""
    if dataclasses.is_dataclass(kind):
        return build(kind, value, f"{path}.")  # type: ignore[arg-type]
    if may_be_none(kind):
        before = NOT_SET.get(path)
        if value is None or (value == before and not isinstance(value, bool)):
            return None
        kind = without_none(kind)
    if isinstance(kind, types.UnionType):
        for option in typing.get_args(kind):
            try:
                return typed(value, option, path)
            except ConfigError:
                continue
        raise ConfigError(f"config.{path} must be {kind}, got {value!r}")
    if typing.get_origin(kind) is tuple:
        item, *rest = typing.get_args(kind)
        length = None if rest == [...] else 1 + len(rest)
        if not isinstance(value, (tuple, list)) or length not in (None, len(value)):
            expected = f"a tuple of {length} entries" if length else "a tuple"
            raise ConfigError(f"config.{path} must be {expected}, got {value!r}")
        return tuple(typed(entry, item, f"{path}[{i}]") for i, entry in enumerate(value))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) <= sys.float_info.max else math.inf
    if type(value) is not kind:
        raise ConfigError(f"config.{path} must be {kind.__name__}, got {value!r}")
    if kind is float and not math.isfinite(value):
        raise ConfigError(f"config.{path} must be finite, got {value!r}")
    return value


def without_none(kind: Any) -> Any:
    """Return ``int`` for ``int | None``."""
    (only,) = set(typing.get_args(kind)) - {type(None)}
    return only
