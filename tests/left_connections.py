"""What a failed test left open is collected before the next test, which would be blamed for it."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Generator

import pytest

_failed: set[str] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        _failed.add(item.nodeid)
    return report


def pytest_runtest_logfinish(nodeid: str) -> None:
    if nodeid not in _failed:
        return
    _failed.remove(nodeid)
    # pytest keeps the last exception for a debugger, and with it every frame of the test.
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        if hasattr(sys, name):
            delattr(sys, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
