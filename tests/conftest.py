"""A limit for every test: one that hangs must fail, not hold all others up.

By SIGALRM, so that it needs no plugin; it interrupts the main thread, where tests and event loops run.
"""

import os
import signal
from collections.abc import Iterator

import pytest

TEST_LIMIT_S = 120
LONG_TEST_LIMIT_S = 900
LONG = ("tests/e2e/", "tests/integration/test_cluster")
"""Whose tests bring clusters up, and have limits of their own for each command."""
THOROUGH = ("ORCH_TEST_EVERY_STEP", "ORCH_TEST_CYCLES")
"""Variables that ask for more than a test usually does: for hours, maybe, and by hand."""
THOROUGH_LIMIT_S = 4 * 60 * 60


class TookTooLong(BaseException):
    """No Exception: what a test catches must not swallow it."""


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    limit_s = LONG_TEST_LIMIT_S if item.nodeid.startswith(LONG) else TEST_LIMIT_S
    limit_s = THOROUGH_LIMIT_S if any(name in os.environ for name in THOROUGH) else limit_s

    def end(number: int, frame: object) -> None:
        raise TookTooLong(f"{item.nodeid}: not done within {limit_s} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(limit_s)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
