"""Contenders whose times are given, in place of processes."""

from itertools import cycle
from typing import ClassVar

from strideflax.benchmark.remote import ContenderError

RESULTS = {"results": [[1.0, 2.0]]}


class Clock:
    """A contender whose turns take the given milliseconds, over and over."""

    log: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, name, *milliseconds, facts=RESULTS, broken=None):
        self.name, self.times, self.facts, self.broken = name, cycle(milliseconds), facts, broken

    def ask(self, *, do, **request):
        Clock.log.append((self.name, do))
        if do == self.broken:
            raise ContenderError("ValueError: no")
        if do == "describe":
            return {"device": "a clock", "versions": {"jax": "1"}}
        if do == "prepare":
            return {"facts": self.facts, "compile_seconds": 1.0}
        median = next(self.times)
        return {"median_ms": median, "low_quartile_ms": median, "high_quartile_ms": median, "calls": request["calls"]}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def workers(*clocks):
    Clock.log = []
    return {clock.name: clock for clock in clocks}
