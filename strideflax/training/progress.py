"""How the loop tells what it is doing. The library prints nothing: a command implements this."""

from typing import Any, Protocol


class Progress(Protocol):
    """What a run reports, in this order: one plan, then steps and epochs, and notes at any time."""

    def plan(self, plan: dict[str, Any]) -> None:
        """Say what will run: model, params, macs, dataset, device, steps."""

    def step(self, done: int, total: int) -> None:
        """Say how many steps are done."""

    def epoch(self, record: dict[str, Any]) -> None:
        """Say how an epoch went: the line that goes into ``metrics.jsonl``."""

    def note(self, text: str) -> None:
        """Say something a user should know: a resumed run, a damaged checkpoint."""


class Silent:
    """Progress that says nothing."""

    def plan(self, plan: dict[str, Any]) -> None:
        """Do nothing."""

    def step(self, done: int, total: int) -> None:
        """Do nothing."""

    def epoch(self, record: dict[str, Any]) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""
