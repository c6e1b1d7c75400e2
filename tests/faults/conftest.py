"""Where the counts of the tests of faults go."""

from __future__ import annotations

import os

import pytest

from tests.faults import counting


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fault-counts", metavar="PATH", help="append how many faults were put in, as JSON lines"
    )


def pytest_configure(config: pytest.Config) -> None:
    given = config.getoption("fault_counts", None)
    counting.keep_in(given or os.environ.get("FAULT_COUNTS"))
