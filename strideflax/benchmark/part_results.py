"""The rows of one part of a long measurement, in a file that is whole after every row, so that the part can go on later."""

import json
from pathlib import Path
from typing import Any

from strideflax.files import write_json


class PartResults:
    """Rows by their name; those that the file holds already need not be measured again."""

    def __init__(self, path: Path):
        self._path = path
        self._stored: dict[str, Any] = {"done": False, "rows": {}}
        if path.exists():
            self._stored = json.loads(path.read_text())

    @property
    def rows(self) -> dict[str, Any]:
        """The rows so far."""
        return self._stored["rows"]

    @property
    def is_done(self) -> bool:
        """Whether nothing is missing."""
        return bool(self._stored["done"])

    @property
    def about(self) -> dict[str, Any]:
        """The device and the versions, where they are known."""
        return self._stored.get("about", {})

    def describe(self, about: dict[str, Any]) -> None:
        """Say what the rows are measured on."""
        self._stored["about"] = about

    def add(self, name: str, row: Any) -> None:
        """Store a row."""
        self.rows[name] = row
        write_json(self._path, self._stored)

    def finish(self) -> None:
        """Store that nothing is missing."""
        self._stored["done"] = True
        write_json(self._path, self._stored)
