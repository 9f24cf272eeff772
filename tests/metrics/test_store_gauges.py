"""What the gauges of a store show."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, delete, event, insert, text, update
from sqlalchemy.orm import Session

from mdb_sqla import Consumer, Group, Message, MessageStore, RetryPolicy, retention, tables
from mdb_sqla.admin import summary
from mdb_sqla.consumers import backlogs
from mdb_sqla.metrics import store_measurement
from tests.metrics.conftest import Store, consumer, placed

slots = tables.consumer_slots


def test_an_empty_store(store: Store) -> None:
    found = store.scrape()

    assert found.keys() == {
        "mdb_sqla_store_up",
        "mdb_sqla_store_last_position",
        "mdb_sqla_store_settled_position",
        "mdb_sqla_store_open_writers",
        "mdb_sqla_store_open_writer_age_seconds",
        "mdb_sqla_store_size_bytes",
        "mdb_sqla_store_live_rows",
        "mdb_sqla_store_dead_rows",
        "mdb_sqla_store_collection_duration_seconds",
    }
    assert found["mdb_sqla_store_up"] == {(): 1}
    assert found["mdb_sqla_store_last_position"] == {(): 0}
    assert found["mdb_sqla_store_open_writers"] == {(): 0}
    assert found["mdb_sqla_store_open_writer_age_seconds"] == {(): 0}


def test_lags(store: Store) -> None:
    store.write("order-1", *placed(3))
    store.catch_up("billing", "order")
    store.catch_up("shipping")
    store.write("order-2", *placed(4))
    store.write("account-1", Message("Opened"))

    found = store.scrape()

    assert found["mdb_sqla_consumer_lag"] == {("billing",): 4, ("shipping",): 5}
    assert found["mdb_sqla_consumer_position"] == {("billing",): 3, ("shipping",): 3}
    assert found["mdb_sqla_consumer_dead_letters"] == {("billing",): 0, ("shipping",): 0}
    assert found["mdb_sqla_store_last_position"] == {(): 8}
    assert found["mdb_sqla_store_settled_position"] == {(): 8}
    for seconds in found["mdb_sqla_consumer_lag_time_seconds"].values():
        assert 0 < seconds < 60

    store.catch_up("billing", "order")
    found = store.scrape()
    assert found["mdb_sqla_consumer_lag"][("billing",)] == 0
    assert found["mdb_sqla_consumer_lag_time_seconds"][("billing",)] == 0


def test_the_lag_is_counted_up_to_a_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlogs, "_LEAST_EXAMINED", 3)
    for name in ("a", "b", "c", "d"):
        store.catch_up(name, "order")
    store.write("order-1", *placed(30))

    def lags() -> set[float]:
        return {*store.scrape()["mdb_sqla_consumer_lag"].values()}

    limit = store.gauges._examined
    monkeypatch.setattr(limit, "_fast", 0.0)
    limit.value = 20
    assert lags() == {5}
    limit.value = 1
    assert lags() == {3}


def test_less_is_examined_while_that_is_slow(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write("order-1")
    limit = store.gauges._examined
    first = limit.value
    monkeypatch.setattr(limit, "_fast", 60.0)
    store.scrape()
    assert limit.value == 2 * first
    monkeypatch.setattr(limit, "_slow", 0.0)
    store.scrape()
    assert limit.value == 2 * first // 4

    # An answer that is fast because there is none says nothing.
    monkeypatch.setattr(limit, "_slow", 60.0)
    monkeypatch.setattr(store_measurement, "estimated_rows", None)
    assert store.scrape()["mdb_sqla_store_up"] == {(): 0}
    assert limit.value == 2 * first // 4


def test_the_number_of_statements_does_not_depend_on_consumers_that_have_caught_up(
    store: Store,
) -> None:
    store.write("order-1", *placed(3))
    store.write("account-1")
    statements: list[str] = []

    @event.listens_for(store.engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    def number() -> int:
        statements.clear()
        assert store.gauges._query().problem is None
        return len(statements)

    for name in ("a", "b"):
        store.catch_up(name, "order")
    number()  # looks up once for each engine whether the store is on Citus
    few = number()
    for name in ("c", "d", "e"):
        store.catch_up(name, "order", "account")
    store.catch_up("f", "order", group=Group(slots=4))
    store.catch_up("g")
    assert number() == few

    store.write("account-1")
    # One for each consumer that is behind, however many categories it reads.
    assert number() == few + 4


def test_dead_letters(store: Store) -> None:
    failing = Consumer(
        "billing", "order", on_failure="dead_letter", retry_policy=RetryPolicy(max_attempts=1)
    )

    @failing.on()
    def fail(message: Any, unit: Any) -> None:
        if message.stream_name == "order-1":
            raise ZeroDivisionError

    store.write("order-1", Message("Placed"), Message("Paid"))
    store.write("order-2")
    failing.catch_up(store.factory)

    found = store.scrape()
    assert found["mdb_sqla_consumer_dead_letters"] == {("billing",): 2}
    assert found["mdb_sqla_consumer_lag"] == {("billing",): 0}


def test_one_that_has_a_position_but_never_started(store: Store) -> None:
    store.execute(insert(slots).values(consumer="other", slot=0, slots=1, position=7))

    found = store.scrape()

    assert found["mdb_sqla_consumer_position"] == {("other",): 7}
    assert found["mdb_sqla_consumer_dead_letters"] == {("other",): 0}
    assert "mdb_sqla_consumer_lag" not in found


def members(store: Store, *rows: tuple[str, timedelta]) -> None:
    """Replace the members of `billing` by members with a lease of a minute, and what is left."""
    table, now = tables.consumer_members, datetime.now(UTC)
    store.execute(delete(table))
    for member, left in rows:
        row = {
            "consumer": "billing",
            "member": member,
            "instance": "00000000-0000-0000-0000-000000000001",
            "lease": timedelta(minutes=1),
            "alive_until": now + left,
        }
        store.execute(insert(table).values(row))


def test_groups(store: Store) -> None:
    """Slots of members whose lease has expired are free, as are those that nobody has acquired."""
    store.write("order-1")
    store.catch_up("billing", "order", group=Group(slots=4))
    store.catch_up("alone", "order")
    alive, dead = timedelta(seconds=40), timedelta(seconds=-1)
    members(store, ("a", alive), ("b", dead))
    owners = {0: "a", 1: "a", 2: "b", 3: None}
    for slot, owner in owners.items():
        of_slot = (slots.c.consumer == "billing") & (slots.c.slot == slot)
        store.execute(update(slots).where(of_slot).values(owner=owner))

    found = store.scrape()
    assert found["mdb_sqla_consumer_slots"] == {("held", "billing"): 2, ("free", "billing"): 2}
    assert found["mdb_sqla_consumer_members"] == {("billing",): 1}

    # A lease that ends later than it can was set by a clock that was ahead.
    members(store, ("a", timedelta(hours=1)))
    found = store.scrape()
    assert found["mdb_sqla_consumer_slots"] == {("held", "billing"): 0, ("free", "billing"): 4}
    assert found["mdb_sqla_consumer_members"] == {("billing",): 0}


def test_a_slot_without_a_row_is_free(store: Store) -> None:
    store.catch_up("billing", "order", group=Group(slots=4))
    store.execute(delete(slots).where(slots.c.slot > 0))
    store.execute(update(slots).values(owner="a"))
    members(store, ("a", timedelta(seconds=40)))

    found = store.scrape()
    assert found["mdb_sqla_consumer_slots"] == {("held", "billing"): 1, ("free", "billing"): 3}


def test_open_writers(store: Store) -> None:
    store.write("order-1")
    with store.engine.begin() as connection:
        MessageStore(connection).write("order-2", Message("Placed"))
        found = store.scrape()
        store.write("order-3")
        later = store.scrape()

    assert found["mdb_sqla_store_open_writers"] == {(): 1}
    assert 0 < found["mdb_sqla_store_open_writer_age_seconds"][()] < 60
    assert found["mdb_sqla_store_settled_position"] == {(): 1}
    assert found["mdb_sqla_store_last_position"] == {(): 2}
    assert (
        later["mdb_sqla_store_open_writer_age_seconds"][()]
        > found["mdb_sqla_store_open_writer_age_seconds"][()]
    )
    assert later["mdb_sqla_store_last_position"] == {(): 3}
    assert later["mdb_sqla_store_settled_position"] == {(): 1}
    assert store.scrape()["mdb_sqla_store_open_writers"] == {(): 0}


def test_the_age_is_left_out_if_it_is_unknown(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ages: list[float | None] = [3.0, None]
    monkeypatch.setattr(store_measurement, "ages_of_open_writers", lambda connection: ages)

    found = store.scrape()
    assert found["mdb_sqla_store_open_writers"] == {(): 2}
    assert "mdb_sqla_store_open_writer_age_seconds" not in found

    ages.remove(None)
    assert store.scrape()["mdb_sqla_store_open_writer_age_seconds"] == {(): 3}


def test_the_size_is_that_of_the_summary(store: Store) -> None:
    store.write("order-1", *placed(5, text=os.urandom(9_000).hex()))

    found = store.scrape()["mdb_sqla_store_size_bytes"]
    with Session(store.engine) as session:
        size = summary(session).size
    assert found == {
        ("table",): size.table,
        ("indexes",): size.indexes,
        ("toast",): size.total - size.table - size.indexes,
    }
    assert min(found.values()) > 0


def test_rows(engine: Engine) -> None:
    """Sessions report their statistics late, unless that is enforced."""
    flush = text("SELECT pg_stat_force_next_flush()")
    with engine.begin() as connection:
        # Tests before may have left dead rows.
        connection.execute(
            text("SELECT pg_stat_reset_single_table_counters('message_store.messages'::regclass)")
        )
        MessageStore(connection).write("order-1", placed(10))
        connection.execute(flush)
    with engine.begin() as connection:
        connection.execute(delete(tables.messages).where(tables.messages.c.position < 4))
        connection.execute(flush)

    found = Store(engine).scrape()
    assert found["mdb_sqla_store_live_rows"] == {(): 6}
    assert found["mdb_sqla_store_dead_rows"] == {(): 4}


def age(store: Store, category: str, by: timedelta) -> None:
    of_category = tables.messages.c.stream_name.startswith(f"{category}-")
    new = {"time": datetime.now(UTC) - by}
    store.execute(update(tables.messages).where(of_category).values(new))


def test_overdue_retention(store: Store) -> None:
    day = timedelta(days=1)
    with Session(store.engine) as session:
        retention.set_policy(session, "order", keep_age=2 * day)
        retention.set_policy(session, "kept", keep_age=9 * day)
        retention.set_policy(session, "outbox")
        retention.set_policy(session, "empty")
        retention.set_policy(session, "last", keep_age=day, keep_last=1)
        session.commit()
    for category in ("order", "kept", "outbox", "last"):
        store.write(f"{category}-1")
        age(store, category, 5 * day)
        store.write(f"{category}-1")

    found = store.scrape()["mdb_sqla_retention_overdue_seconds"]

    assert {labels[0] for labels in found} == {"order", "kept", "outbox", "empty"}
    assert 3 * 86_400 <= found[("order",)] < 3 * 86_400 + 60
    assert 5 * 86_400 <= found[("outbox",)] < 5 * 86_400 + 60
    assert found[("kept",)] == found[("empty",)] == 0


def test_a_time_without_an_age(store: Store) -> None:
    with Session(store.engine) as session:
        retention.set_policy(session, "order")
        session.commit()
    store.write("order-1")
    store.execute(text("UPDATE message_store.messages SET time = '-infinity'"))

    assert store.scrape()["mdb_sqla_retention_overdue_seconds"] == {("order",): 0}


def test_it_only_reads(store: Store) -> None:
    statements: list[str] = []
    modes: list[str] = []

    @event.listens_for(store.engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if not statements:
            modes.append(cursor.execute("SHOW transaction_read_only").fetchone()[0])
        statements.append(statement)

    store.write("order-1")
    store.catch_up("billing", "order")
    statements.clear()
    modes.clear()
    store.gauges.report()

    assert modes == ["on"]


def test_an_engine_without_transactions(store: Store) -> None:
    """The settings of the query, such as its time-out, end with it."""
    engine = store.engine.execution_options(isolation_level="AUTOCOMMIT")
    autocommit = Store(engine)

    assert autocommit.scrape()["mdb_sqla_store_up"] == {(): 1}
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "0"
        assert connection.scalar(text("SHOW enable_sort")) == "on"


def test_streams_and_messages_add_no_series(store: Store) -> None:
    """There is a fixed number of series, and so many for each consumer and each policy."""
    for name in ("billing", "shipping"):
        store.catch_up(name, group=Group(slots=16))
    members(store, ("a", timedelta(seconds=40)))
    with Session(store.engine) as session:
        retention.set_policy(session, "order")
        session.commit()
    store.scrape()

    def number() -> int:
        return sum(len(series) for series in store.scrape().values())

    few = number()
    for stream in range(10):
        store.write(f"order-{stream}", Message(f"Type{stream}"))
        store.write(f"category{stream}-1")
    assert number() == few

    third = consumer("third")
    third.catch_up(store.factory)
    assert number() - few == 4
