"""Pages of messages, and where a time is among them, without a browser."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from mdb_sqla import Message, MessageStore, tables
from mdb_sqla.web import message_pages
from mdb_sqla.web.message_pages import Filters, Source, position_at, read_page
from mdb_sqla.web.message_rows import MessageRow
from tests.web.stored_messages import set_time, write

m = tables.messages.c
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def all_pages(db: Connection, source: Source, filters: Filters, **options: Any) -> list[int]:
    found: list[int] = []
    beyond = None
    while True:
        page = read_page(db, source, filters, beyond=beyond, **options)
        found += [row.global_position for row in page.rows]
        if page.next is None:
            return found
        beyond = page.next


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize(
    "source",
    [Source(), Source(category="a"), Source(stream="a-1")],
    ids=["all", "category", "stream"],
)
def test_pages_have_every_message_once(
    connection: Connection, source: Source, newest_first: bool
) -> None:
    first = write(connection, "a-1", number=7)
    others = write(connection, "b-1", number=3)
    second = write(connection, "a-1", number=5)
    expected = first + second if source != Source() else first + others + second
    found = all_pages(connection, source, Filters(), newest_first=newest_first, size=4)
    assert found == (expected[::-1] if newest_first else expected)


def test_the_search_continues(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that takes too long ends with a page that says how far it came."""
    monkeypatch.setattr(message_pages, "_CHUNK", 5)
    monkeypatch.setattr(message_pages, "_SECONDS", 0.0)
    positions = write(connection, "a-1", number=23)
    filters = Filters(text="22")
    page = read_page(connection, Source(category="a"), filters, newest_first=False)
    assert page.rows == []
    assert page.examined == page.next == positions[4]
    found = all_pages(connection, Source(category="a"), filters, newest_first=False)
    assert found == positions[-1:]
    everything = Filters(type="T")
    assert all_pages(connection, Source(), everything, newest_first=True, size=3) == [
        *reversed(positions)
    ]


def test_filters(connection: Connection) -> None:
    MessageStore(connection).write(
        "a-1",
        [
            Message("Placed", {"name": "100% Über_haus"}),
            Message("Paid", {"name": "other"}),
            Message("Paid", None),
        ],
    )

    def found(**filters: Any) -> list[str]:
        page = read_page(connection, Source("a-1"), Filters(**filters), newest_first=False)
        return [f"{row.position} {row.type}" for row in page.rows]

    assert found(type="Paid") == ["1 Paid", "2 Paid"]
    assert found(type="paid") == []
    assert found(text="über_HAUS") == ["0 Placed"]
    assert found(text="0%") == ["0 Placed"]
    assert found(text="_other") == []
    assert found(since=datetime.now(UTC) + timedelta(hours=1)) == []


def test_rows_are_without_contents(connection: Connection) -> None:
    MessageStore(connection).write("a-1", Message("T", {"text": "x" * 100_000}))
    (row,) = read_page(connection, Source("a-1"), Filters(), newest_first=True).rows
    assert isinstance(row, MessageRow)
    assert row.preview is None or len(row.preview) <= 240


def test_position_at(connection: Connection) -> None:
    positions = write(connection, "a-1", number=50)
    write(connection, "b-1", number=3)
    for number, position in enumerate(positions):
        set_time(connection, position, NOON + timedelta(minutes=number))

    def at(minutes: float) -> int | None:
        return position_at(connection, Source(category="a"), NOON + timedelta(minutes=minutes))

    assert at(-1) == positions[0]
    assert at(0) == positions[0]
    assert at(17) == positions[17]
    assert at(17.5) == positions[18]
    assert at(49) == positions[49]
    assert at(50) is None
    assert position_at(connection, Source("a-1"), NOON + timedelta(minutes=17)) == 17
    assert position_at(connection, Source("none-1"), NOON) is None


def test_position_at_with_gaps_and_times_out_of_order(connection: Connection) -> None:
    positions = write(connection, "a-1", number=200)
    for number, position in enumerate(positions):
        set_time(connection, position, NOON + timedelta(minutes=number))
    # A long transaction in the middle, whose time is its start.
    for position in positions[100:103]:
        set_time(connection, position, NOON + timedelta(minutes=60))
    connection.execute(tables.messages.delete().where(m.global_position.in_(positions[20:60])))
    for minutes in (10, 30, 61, 90, 105, 150, 199):
        since = NOON + timedelta(minutes=minutes)
        found = position_at(connection, Source(category="a"), since)
        left = [n for n in range(200) if not 20 <= n < 60 and not 100 <= n < 103]
        assert found == next(positions[n] for n in left if n >= minutes), minutes


def test_position_at_with_infinite_times(connection: Connection) -> None:
    positions = write(connection, "a-1", number=3)
    connection.execute(
        text("UPDATE message_store.messages SET time = 'infinity' WHERE global_position = :p"),
        {"p": positions[2]},
    )
    assert position_at(connection, Source(), datetime(9999, 12, 31, tzinfo=UTC)) == positions[2]
