"""What failed for one and the same reason is shown once, and the rest of it is counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Hashable
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Generator[None, None, None]:
    stats: dict[str, list[Any]] = terminalreporter.stats
    all_of = {outcome: stats[outcome] for outcome in list(stats) if outcome in {"error", "failed"}}
    first: dict[Hashable, Any] = {}
    repeated: Counter[str] = Counter()
    for outcome, reports in all_of.items():
        shown = []
        for report in reports:
            cause = _cause(report)
            if first.setdefault(cause, report) is report:
                shown.append(report)
            else:
                repeated[first[cause].nodeid] += 1
        stats[outcome] = shown
    yield
    stats.update(all_of)  # for the numbers in the last line
    if repeated:
        terminalreporter.section("failed for the same reason", "=")
        for nodeid, number in repeated.most_common():
            terminalreporter.write_line(f"{number} more as {nodeid}")


def _cause(report: Any) -> Hashable:
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return id(report)
    # Names of databases, ports, addresses and ids are not what tells causes apart.
    return crash.path, crash.lineno, re.sub(r"[0-9a-f-]*\d[0-9a-f-]*", "N", crash.message)
