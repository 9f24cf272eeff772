"""Snapshots of entities whose events were deleted or erased."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import sessionmaker

from mdb_sqla import EntityErased, EventsMissing, UnitOfWork, retention
from mdb_sqla.entities import Snapshots
from mdb_sqla.erasure import erase_stream
from tests.entities.accounts import Account, Closed, Deposited, accounts, deposit, execute, read
from tests.entities.snapshots import SNAPSHOTS, pay, recorded


def test_the_events_before_it_may_be_deleted(engine: Engine) -> None:
    store = accounts(snapshots=Snapshots(every=5))
    pay(engine, store, *range(1, 13))
    before = read(engine, store)
    with engine.begin() as connection:
        retention.set_policy(connection, "account", keep_last=3)
        retention.set_policy(connection, "account:snapshot", keep_last=1)
    retention.run(engine)

    assert len(recorded(engine)) == 1
    assert read(engine, store) == before
    for other in (accounts(), accounts(snapshots=Snapshots(every=5, version=2))):
        with pytest.raises(EventsMissing, match="no messages from position 0 to 8:"):
            read(engine, other)


def test_all_events_may_be_deleted(engine: Engine) -> None:
    store = accounts(snapshots=Snapshots(every=2))
    pay(engine, store, 1, 2)
    with engine.begin() as connection:
        retention.set_policy(connection, "account", keep_age=timedelta(microseconds=1))
    retention.run(engine)

    assert read(engine, store) == (Account(Decimal(3), [Decimal(1), Decimal(2)]), 1)
    pay(engine, store, 3)
    assert read(engine, store)[0].balance == 6


def test_events_after_it_are_missing(engine: Engine) -> None:
    store = accounts(snapshots=Snapshots(every=2))
    pay(engine, store, 1, 2, 3, 4, 5)
    execute(engine, "DELETE FROM message_store.messages WHERE type = 'Recorded' AND position = 1")
    execute(
        engine,
        "DELETE FROM message_store.messages WHERE stream_name = 'account-1' AND position = 2",
    )
    with pytest.raises(EventsMissing) as caught:
        read(engine, store)
    assert caught.value.position == 2
    with engine.begin() as connection:
        retention.set_policy(connection, "account", keep_age=timedelta(microseconds=1))
    retention.run(engine)
    with pytest.raises(EventsMissing):
        read(engine, store)


def test_events_between_it_and_the_rest_are_missing(engine: Engine) -> None:
    store = accounts(snapshots=Snapshots(every=2))
    pay(engine, store, 1, 2, 3)
    execute(
        engine,
        "DELETE FROM message_store.messages WHERE stream_name = 'account-1' AND position < 2",
    )
    assert read(engine, store)[0].history == [1, 2, 3]

    deposit(engine, 4)
    execute(
        engine,
        "DELETE FROM message_store.messages WHERE stream_name = 'account-1' AND position < 3",
    )
    with pytest.raises(EventsMissing, match="no messages from position 2 to 2:"):
        read(engine, store)


@pytest.mark.parametrize("position", [0, 1])
def test_an_erased_entity_whose_first_events_were_deleted(engine: Engine, position: int) -> None:
    """An event up to the snapshot was erased, but its anchor was deleted."""
    store = accounts(snapshots=Snapshots(every=3))
    with UnitOfWork(sessionmaker(engine)) as unit:
        store.get(unit, 1).write(Deposited(Decimal(1)), Closed(), Closed())
        unit.commit()
    metadata = "UPDATE message_store.messages SET metadata = '{\"erased\": true}'"
    execute(engine, f"{metadata} WHERE stream_name = 'account-1' AND position = 2")
    execute(
        engine,
        "DELETE FROM message_store.messages WHERE stream_name = 'account-1' AND position <= :last",
        last=position,
    )

    with pytest.raises(EventsMissing, match="no messages from position 0"):
        read(engine, store)


def test_a_stream_that_began_anew(engine: Engine) -> None:
    """The snapshot is of other events at the same positions."""
    store = accounts(snapshots=Snapshots(every=2))
    pay(engine, store, 1, 2)
    execute(engine, "DELETE FROM message_store.messages WHERE stream_name = 'account-1'")
    deposit(engine, 10, 20, 30)

    assert read(engine, store)[0].history == [10, 20, 30]


@pytest.mark.parametrize("events", [(), (Closed(),)])
def test_an_erased_entity(engine: Engine, events: tuple[Any, ...]) -> None:
    """Its snapshot would still have what was erased; an event without contents hides nothing."""
    store = accounts(snapshots=Snapshots(every=1))
    pay(engine, store, 1, 2)
    if events:
        with UnitOfWork(sessionmaker(engine)) as unit:
            store.get(unit, 1).write(*events)
            unit.commit()
    with engine.begin() as connection:
        erase_stream(connection, "account-1", reason="asked for")

    with pytest.raises(EntityErased):
        read(engine, store)


def test_an_erased_snapshot(engine: Engine) -> None:
    store = accounts(snapshots=Snapshots(every=1))
    pay(engine, store, 1, 2)
    with engine.begin() as connection:
        erase_stream(connection, SNAPSHOTS, reason="asked for")

    assert read(engine, store)[0].history == [1, 2]
