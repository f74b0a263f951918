"""Config files in the idiom of Flax's examples: ``get_config(arg)`` in a Python file, overrides as ``--config.field=value``."""

import ast
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from strideflax.config import Config, ConfigError
from strideflax.errors import one_line


def read_config(spec: str, overrides: Sequence[str] = ()) -> Config:
    """Return the checked configuration of ``"configs/stride2.py"`` or ``"configs/stride2.py:quick"``.

    Args:
        spec: path of a Python file that defines ``get_config(arg)``, then optionally ``:`` and that argument.
        overrides: command-line words such as ``"--config.optimizer.learning_rate=0.1"``.

    Raises:
        ConfigError: a missing or broken file, an unknown variant or field, a value of the wrong type or out of range.
    """
    values = _call(spec, "get_config")
    if not isinstance(values, ConfigDict):
        raise ConfigError(f"{spec}: get_config must return an ml_collections.ConfigDict, got {type(values).__name__}")
    config = values.to_dict()
    for word in overrides:
        name, value = _split_override(word)
        override(config, {name: value}, parse=_parsed)
    return Config.from_dict(config)


def read_sweep(spec: str, overrides: Sequence[str] = ()) -> list[tuple[dict[str, Any], Config]]:
    """Return ``(changes, config)`` for each dict of dotted fields that the file's generator ``sweep(arg)`` yields.

    ``overrides`` apply to every run, under the sweep's own changes.
    """
    base = read_config(spec, overrides).to_dict()
    runs = []
    for changes in _call(spec, "sweep"):
        values = Config.from_dict(base).to_dict()
        override(values, changes)
        runs.append((dict(changes), Config.from_dict(values)))
    return runs


def override(
    values: dict[str, Any], changes: Mapping[str, Any], parse: Callable[[Any, Any], Any] = lambda new, old: new
) -> None:
    """Change nested ``values`` in place: ``{"model.downsample": "max_pool"}``.

    Raises:
        ConfigError: a field that does not exist, with those that do.
    """
    for name, value in changes.items():
        group, path = values, "config"
        *parents, last = name.split(".")
        for part in parents:
            group, path = _field(group, part, path), f"{path}.{part}"
        group[last] = parse(value, _field(group, last, path))


def _field(group: Any, name: str, path: str) -> Any:
    if not isinstance(group, dict) or name not in group:
        known = f"has {', '.join(group)}" if isinstance(group, dict) else "is a single value"
        raise ConfigError(f"{path}.{name} does not exist; {path} {known}")
    return group[name]


def _split_override(word: str) -> tuple[str, str]:
    name, equals, value = word.removeprefix("--config.").partition("=")
    if not word.startswith("--config.") or not equals or not name:
        raise ConfigError(f"an override is written --config.FIELD=VALUE, got {word!r}")
    return name, value


def _parsed(text: str, current: Any) -> Any:
    """Return what ``text`` says, read as the type of the value that it replaces; the check of types comes later."""
    if isinstance(current, str):
        return text
    if isinstance(current, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return float(text) if isinstance(current, float) else ast.literal_eval(text)
    except Exception:  # whatever is no literal; the check of types says what was expected
        return text


def _call(spec: str, function: str) -> Any:
    path, _, arg = spec.partition(":")
    module = _load(Path(path))
    if not hasattr(module, function):
        raise ConfigError(f"{path} defines no {function}()")
    try:
        result = getattr(module, function)(arg or None)
        return list(result) if inspect.isgenerator(result) else result
    except ValueError as error:
        raise ConfigError(f"{spec}: {one_line(error)}") from None
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{spec}: {type(error).__name__}: {one_line(error)}") from None


def _load(path: Path) -> Any:
    if not path.is_file():
        beside = sorted(p.as_posix() for p in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise ConfigError(
            f"config file {path} does not exist; {path.parent} has {', '.join(beside) or 'no config files'}"
        )
    spec = importlib.util.spec_from_file_location(f"strideflax_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"config file {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    root = str(path.resolve().parent.parent)  # so that "from configs.baseline import baseline" works from any folder
    sys.path.insert(0, root)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"config file {path} can't be loaded: {type(error).__name__}: {one_line(error)}") from None
    finally:
        sys.path.remove(root)
    return module
