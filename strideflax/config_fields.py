"""One field of a run's configuration by its dotted name, e.g. ``"model.window"``: its type, its value, a word for it."""

import ast
import dataclasses
import typing
from typing import Any

from strideflax.config import Config
from strideflax.config_values import may_be_none, typed, without_none
from strideflax.errors import ConfigError


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
        kind = without_none(kind)
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
    return typed(parse_value(path, text), field_type(path), path)


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
