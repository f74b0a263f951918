"""The time that a sweep may take, for a machine that is lent for minutes."""

import math
import time
from dataclasses import dataclass, field

STOP_SECONDS = 15.0  # before its end a sweep begins to stop: a step is done, a checkpoint saved, the processes end
STOP_SHARE = 0.25  # at most, of a short time


@dataclass
class TimeLimit:
    """When a sweep has to stop, by the clock of the wall, which all processes and hosts read.

    Attributes:
        seconds: from now; infinite for a sweep that takes as long as it takes.
        stop_at: when runs save and stop, and no further one begins.
        end: when nothing may run any more.
    """

    seconds: float = math.inf
    stop_at: float = field(init=False)
    end: float = field(init=False)

    def __post_init__(self) -> None:
        self.end = time.time() + self.seconds
        self.stop_at = self.end - min(STOP_SECONDS, STOP_SHARE * self.seconds)

    @property
    def is_stopping(self) -> bool:
        """Whether runs are to save and stop."""
        return time.time() >= self.stop_at

    @property
    def is_over(self) -> bool:
        """Whether even saving takes too long."""
        return time.time() >= self.end
