"""The trials behind RELIABILITY.md: ``python -m pytest tests/reliability --long`` runs all and writes the counts there.

Without ``--long``, as in the whole suite, there are a few of each.
"""

import datetime
import platform
import time
from collections import Counter
from pathlib import Path

import pytest
from reliability.tables import NAMES, write_counts

DOCUMENT = Path(__file__).parents[2] / "RELIABILITY.md"
counts, failures, started = Counter(), Counter(), time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="tests/reliability: all trials (18 minutes on two cores), counted"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "trials(what, short, long): run as that many trials, counted under a name")


def is_long(config: pytest.Config) -> bool:
    return config.getoption("--long", default=False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if mark := metafunc.definition.get_closest_marker("trials"):
        what, short, long = mark.args
        assert what in NAMES
        metafunc.parametrize("trial", range(long if is_long(metafunc.config) else max(short, 1)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, in the short form, what has no trials in it."""
    marks = {item: item.get_closest_marker("trials") for item in items}
    if not is_long(config):
        items[:] = [item for item in items if not marks[item] or marks[item].args[1]]


@pytest.fixture(autouse=True)
def counted(request: pytest.FixtureRequest, record_property) -> None:
    """Count a trial, or else a check, whatever comes of it."""
    mark = request.node.get_closest_marker("trials")
    record_property("count", [mark.args[0] if mark else "checks", 1])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up, in the process that all reports reach."""
    mine = [value for name, value in report.user_properties if name == "count"]
    if report.when == "call":
        for what, number in mine:
            counts[what] += number
    if report.failed:
        failures[mine[-1][0] if mine else "checks"] += 1


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if hasattr(session.config, "workerinput") or not is_long(session.config) or exitstatus > 1:
        return
    if not all(counts[what] for what in NAMES):  # a part of the trials, by -k or by name
        return
    from strideflax.environment import describe_device, versions

    where = f"{datetime.date.today()}, {describe_device()}, Python {platform.python_version()}, " + ", ".join(
        f"{name} {version}" for name, version in versions().items() if name in ("jax", "flax", "numpy")
    )
    write_counts(DOCUMENT, where, counts, failures, time.monotonic() - started)
