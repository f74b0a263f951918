"""What the shipped configs use of ml_collections, for a machine that is lent for minutes and has no package registry.

`strideflax bench gpu` puts this folder on its parts' path where the real package is missing.
"""

from collections.abc import Mapping
from typing import Any


class ConfigDict(dict[str, Any]):
    """Nested values that are read and written as attributes."""

    def __init__(self, values: Mapping[str, Any]):
        super().__init__()
        self.update(values)

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def update(self, values: Mapping[str, Any]) -> None:  # type: ignore[override]
        """Take over ``values``; groups are merged."""
        for name, value in values.items():
            if not isinstance(value, Mapping):
                self[name] = value
            elif isinstance(self.get(name), ConfigDict):
                self[name].update(value)
            else:
                self[name] = ConfigDict(value)

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts."""
        plain = {}
        for name, value in self.items():
            plain[name] = value.to_dict() if isinstance(value, ConfigDict) else value
        return plain
