"""Random cases with Hypothesis, counted."""

from collections.abc import Callable
from typing import Any

import hypothesis
import pytest

SHORT = 0.05  # share of the cases in the short form


def cases(number: int, **strategies: hypothesis.strategies.SearchStrategy) -> Callable[[Callable], Callable]:
    """Make a test of ``test(**values)``, run on ``number`` random cases in the long form.

    The short form takes the same few cases each time.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        def run(request: pytest.FixtureRequest, record_property: Callable[..., None]) -> None:
            is_long = request.config.getoption("--long", default=False)
            count = 0

            @hypothesis.settings(
                max_examples=number if is_long else round(number * SHORT),
                derandomize=not is_long,
                database=None,
                deadline=None,
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            @hypothesis.given(**strategies)
            def counted(**values: Any) -> None:
                nonlocal count
                count += 1
                test(**values)

            try:
                counted()
            finally:
                record_property("count", ["cases", count])

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorate
