"""Keeping other libraries from printing what strideflax tells in its own words."""

import logging
import sys
from typing import Any


def quiet_storage() -> None:
    """Silence what Orbax and its storage log of each save, and what their writers still have to say of a failed one."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.unraisablehook = _not_of_late_writers


def _not_of_late_writers(ignored: Any) -> None:
    """Print an exception that nobody can catch, unless a writer raised it that ended after its save had failed."""
    if str(ignored.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(ignored)
