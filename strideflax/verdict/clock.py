"""The time that a study may take, over all the calls that it takes."""

import time
from pathlib import Path

from strideflax.files import write_json
from strideflax.training.run_folder import read_json

SPENT = "spent.json"
SECONDS_BETWEEN_NOTES = 2.0


class TimeUp(Exception):
    """The time that a study was given is spent."""


class Clock:
    """Counts the seconds that a study has taken, and notes them in its folder, so that a killed study goes on counting.

    Args:
        folder: the study's.
        seconds: that it may take in all.
    """

    def __init__(self, folder: Path, seconds: float):
        self._path = folder / SPENT
        self._seconds = seconds
        self._before = float(read_json(self._path).get("seconds", 0)) if self._path.exists() else 0.0
        self._start = self._noted = time.monotonic()

    @property
    def spent(self) -> float:
        """The seconds so far."""
        return self._before + time.monotonic() - self._start

    @property
    def left(self) -> float:
        """The seconds that are left, not below 0."""
        return max(self._seconds - self.spent, 0.0)

    def note(self) -> None:
        """Write down the seconds so far."""
        self._noted = time.monotonic()
        write_json(self._path, {"seconds": self.spent})

    def check(self) -> None:
        """Write the seconds down now and then; raise TimeUp once they are spent."""
        if time.monotonic() - self._noted > SECONDS_BETWEEN_NOTES:
            self.note()
        if self.left == 0:
            raise TimeUp
