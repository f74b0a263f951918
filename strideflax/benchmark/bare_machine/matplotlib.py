"""Lets modules that draw be imported on a machine without Matplotlib, where nothing is drawn."""

import sys
from types import ModuleType
from typing import Any


def _anything(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return object


__path__: list[str] = []  # a package, whose modules are these
for _name in ("backends", "backends.backend_agg", "figure", "patches", "ticker"):
    _module = ModuleType(f"matplotlib.{_name}")
    _module.__getattr__ = _anything  # type: ignore[method-assign]
    sys.modules[_module.__name__] = _module
__getattr__ = _anything
