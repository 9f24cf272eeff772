"""Which standbys are read from, and when. Nothing connects to them."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine

from mdb_sqla import Standbys
from mdb_sqla.store import standbys as module


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def two() -> Standbys:
    return Standbys(*(create_engine(f"postgresql+psycopg://{host}/shop") for host in ("a", "b")))


def test_they_take_turns() -> None:
    standbys = two()
    assert [[each.name[0] for each in standbys.next_turn()] for _ in range(3)] == [
        ["a", "b"],
        ["b", "a"],
        ["a", "b"],
    ]


def test_what_fails_for_several_reads_at_once_counts_once(clock: Clock) -> None:
    standbys = two()
    first, second = standbys.next_turn()
    for _ in range(6):
        first.failed("lags")
    assert standbys.next_turn() == [second]
    clock.now += 1.0
    assert first in standbys.next_turn()
    for _ in range(6):
        first.failed("lags")
    clock.now += 1.5
    assert standbys.next_turn() == [second]
    clock.now += 0.5
    assert first in standbys.next_turn()

    assert not standbys.are_unavailable
    first.failed("lags")
    second.failed("lags")
    assert standbys.are_unavailable
    clock.now += 1.0
    assert standbys.next_turn() == [second]
