"""Config files in the idiom of Flax's examples: ``get_config(arg)`` in a Python file, overrides as ``--config.field=value``.

The library comes with the configs of its repository. A path such as ``configs/stride2.py`` names the shipped one wherever no
such file lies there, and a config file anywhere may say ``from configs.baseline import baseline``.
"""

import importlib.util
import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from strideflax.config import DATASETS, NPZ_SUFFIX, Config
from strideflax.config_fields import field_type, parse_value
from strideflax.errors import ConfigError, one_line

FOLDER = "configs"
_PACKAGE = Path(__file__).resolve().parent
COUNTS = ("data.train_count", "data.val_count", "data.test_count")


def read_config(spec: str, overrides: Sequence[str] = ()) -> Config:
    """Return the checked configuration of ``"configs/stride2.py"`` or ``"configs/stride2.py:quick"``.

    Args:
        spec: path of a Python file that defines ``get_config(arg)``, then optionally ``:`` and that argument.
        overrides: command-line words such as ``"--config.optimizer.learning_rate=0.1"``.

    Raises:
        ConfigError: a missing or broken file, an unknown variant or field, a value of the wrong type or out of range.
    """
    return _read_base(spec, load_config_file(spec), overrides)


def read_sweep(spec: str, overrides: Sequence[str] = ()) -> list[tuple[dict[str, Any], Config]]:
    """Return ``(changes, config)`` for each dict of dotted fields that the file's generator ``sweep(arg)`` yields.

    ``overrides`` apply to every run, under the sweep's own changes.

    Raises:
        ConfigError: as `read_config`, and for a ``sweep()`` that yields anything but dicts of fields.
    """
    module = load_config_file(spec)
    base = _read_base(spec, module, overrides)
    yielded = _call(spec, module, "sweep")
    if not isinstance(yielded, Iterable):
        raise ConfigError(f"{spec}: sweep() must yield dicts such as {{'seed': 1}}, got {yielded!r}")
    runs = []
    for changes in yielded:
        if not isinstance(changes, Mapping) or not all(isinstance(name, str) for name in changes):
            raise ConfigError(f"{spec}: sweep() must yield dicts such as {{'seed': 1}}, got {changes!r}")
        values = base.to_dict()
        override(values, changes)
        runs.append((dict(changes), Config.from_dict(values)))
    return runs


def has_sweep(spec: str) -> bool:
    """Return whether the file is a sweep's, whose ``get_config`` is what every run of ``sweep`` changes."""
    return hasattr(load_config_file(spec), "sweep")


def override(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Change a configuration's nested ``values`` in place: ``{"model.downsample": "max_pool"}``.

    Raises:
        ConfigError: a field that does not exist, with those that do.
    """
    for name, value in changes.items():
        field_type(name)
        *groups, last = name.split(".")
        group: Any = values
        for part in groups:
            group = group.setdefault(part, {})
            if not isinstance(group, dict):
                raise ConfigError(f"config.{'.'.join(groups)} must be a group of fields, got {group!r}")
        group[last] = value


def _read_base(spec: str, module: ModuleType, overrides: Sequence[str]) -> Config:
    values = _call(spec, module, "get_config")
    if not isinstance(values, ConfigDict):
        raise ConfigError(f"{spec}: get_config must return an ml_collections.ConfigDict, got {type(values).__name__}")
    nested = values.to_dict()
    changes = {}
    for word in overrides:
        name, text = _split_override(word)
        changes[name] = parse_value(name, text)
    if "data.name" in changes and changes["data.name"] not in DATASETS:
        changes = dict.fromkeys(COUNTS) | changes  # the file's counts are those of its own data set
    override(nested, changes)
    config = Config.from_dict(nested)
    if config.data.name in ("shapes", "scenes") and config.data.dir is not None:
        raise ConfigError(
            f"config.data.dir must be None where config.data.name is {config.data.name!r}, as in {spec}: these images are "
            f"drawn by code, got {config.data.dir!r}"
        )
    if config.data.name.endswith(NPZ_SUFFIX) and config.data.dir is not None:
        raise ConfigError(
            f"config.data.dir must be None where config.data.name is an {NPZ_SUFFIX} file, which is named with its folder: "
            f"--config.data.name={Path(config.data.dir) / Path(config.data.name).name}"
        )
    return config


def _split_override(word: str) -> tuple[str, str]:
    name, equals, value = word.removeprefix("--config.").partition("=")
    if not word.startswith("--config.") or not equals or not name:
        raise ConfigError(f"an override is written --config.FIELD=VALUE, got {word!r}")
    return name, value


def _call(spec: str, module: ModuleType, function: str) -> Any:
    """Return what a function of the file returns for the variant in ``spec``; a generator's dicts as a list."""
    path, _, arg = spec.partition(":")
    if not hasattr(module, function):
        raise ConfigError(f"{path} defines no {function}()")
    call = getattr(module, function)
    try:
        if inspect.signature(call).parameters:
            result = call(arg or None)
        elif arg:
            raise ValueError(f"{function}() takes no variant, got {arg!r}")
        else:
            result = call()
        return list(result) if inspect.isgenerator(result) else result
    except ValueError as error:
        raise ConfigError(f"{spec}: {one_line(error)}") from None
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{spec}: {type(error).__name__}: {one_line(error)}") from None


def shipped_configs() -> Path:
    """Return the folder of the configs that come with the library: a wheel holds them in the package, a checkout beside it."""
    in_wheel = _PACKAGE / "shipped" / FOLDER
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / FOLDER


def config_path(spec: str) -> Path:
    """Return the file that ``spec``, e.g. ``"configs/stride2.py:quick"``, names: the shipped one if there is none of that path.

    Raises:
        ConfigError: there is neither.
    """
    path = Path(spec.partition(":")[0])
    if path.is_file():
        return path
    known = set(path.parent.glob("*.py"))
    if path.parent == Path(FOLDER):
        shipped = shipped_configs() / path.name
        if shipped.is_file():
            return shipped
        known |= {path.parent / file.name for file in shipped.parent.glob("*.py")}
    names = ", ".join(sorted(file.as_posix() for file in known))
    names = names or f"no config files; {FOLDER}/stride2.py is one that comes with the library"
    raise ConfigError(f"config file {path} does not exist; {path.parent} has {names}")


def load_config_file(spec: str) -> ModuleType:
    """Run the Python file that ``spec`` names; it may add operators of its own to `DOWNSAMPLERS`.

    Raises:
        ConfigError: a missing or broken file.
    """
    path = config_path(spec)
    module_spec = importlib.util.spec_from_file_location(f"strideflax_config_{path.stem}", path)
    if module_spec is None or module_spec.loader is None:
        raise ConfigError(f"config file {path} is not a Python file")
    module = importlib.util.module_from_spec(module_spec)
    # "from configs.baseline import baseline" works from any folder: with the baseline beside that folder, or the shipped one.
    root, shipped_root = str(path.resolve().parent.parent), str(shipped_configs().parent)
    sys.path.insert(0, root)
    is_added = shipped_root not in sys.path
    if is_added:
        sys.path.append(shipped_root)
    try:
        module_spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"config file {path} can't be loaded: {type(error).__name__}: {one_line(error)}") from None
    finally:
        sys.path.remove(root)
        if is_added:
            sys.path.remove(shipped_root)
    return module
