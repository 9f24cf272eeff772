"""How much was done in a second, lately."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mdb_sqla.consumers.throughput import Rate


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that it is, which a test sets forward."""
    now = [1000.25]
    monkeypatch.setattr(
        "mdb_sqla.consumers.throughput.time", SimpleNamespace(monotonic=lambda: now[0])
    )
    return now


def test_since_it_began(clock: list[float]) -> None:
    rate = Rate()
    assert rate.per_second == 0
    rate.add(5)
    # Not more than was done in the first second.
    assert rate.per_second == 5
    clock[0] += 10
    rate.add(15)
    assert rate.per_second == 2


def test_over_the_last_minute(clock: list[float]) -> None:
    rate = Rate()
    for _ in range(200):
        rate.add(1)
        rate.add(2)
        clock[0] += 1
    assert rate.per_second == pytest.approx(3, rel=0.03)
    clock[0] += 30
    assert rate.per_second == pytest.approx(1.5, rel=0.05)
    clock[0] += 31
    assert rate.per_second == 0
