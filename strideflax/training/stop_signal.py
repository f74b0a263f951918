"""Ctrl-C and SIGTERM: asked once, a run saves and stops after its step; before the first step, or asked twice, at once."""

import signal
from types import FrameType


class StopSignal:
    """Takes over SIGINT and SIGTERM when made; call it after each step to ask whether one has come."""

    def __init__(self) -> None:
        self.number = 0
        self._stepping = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def __call__(self) -> bool:
        """Return whether a signal has come."""
        self._stepping = True
        return self.number > 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.number or not self._stepping:
            raise StoppedAtOnce(number)
        self.number = number


class StoppedAtOnce(BaseException):
    """The process is to end now, with nothing saved since the last checkpoint."""

    def __init__(self, number: int):
        super().__init__(number)
        self.exit_code = 128 + number
