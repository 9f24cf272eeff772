"""How entities are read: over sessions of each kind, in pages, and what is missing in a stream."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import scoped_session, sessionmaker

from mdb_sqla import (
    EntityErased,
    EventsMissing,
    InvalidArgument,
    MessageStore,
    UnitOfWork,
    WrongExpectedVersion,
    retention,
)
from mdb_sqla.entities import Snapshots
from mdb_sqla.erasure import erase_stream
from mdb_sqla.store.read_statements import version as stream_version
from tests.conftest import Flavour
from tests.entities.accounts import (
    Account,
    Closed,
    Deposited,
    accounts,
    deposit,
    execute,
    read,
    write,
)


def test_every_way_of_sqlalchemy(flavour: Flavour) -> None:
    store = accounts(cache=10, snapshots=Snapshots(every=2))
    get = store.get_async if flavour.asynchronous else store.get
    for amount in (1, 2):
        with flavour.session() as session, flavour.unit_of_work(session) as unit:
            account = flavour.run(get(unit, 1))
            account.write(Deposited(Decimal(amount)))
            assert account.state.balance == [1, 3][amount - 1]
            flavour.run(unit.commit())
    # From the snapshot, and from the cache.
    store = accounts(cache=10, snapshots=Snapshots(every=2))
    get = store.get_async if flavour.asynchronous else store.get
    with flavour.session() as session:
        for source in (session, flavour.store(session)):
            entity = flavour.run(get(source, 1))
            assert (entity.state, entity.version) == (
                Account(Decimal(3), [Decimal(1), Decimal(2)]),
                1,
            )
    with flavour.connection() as connection:
        for source in (connection, flavour.store(connection)):
            assert flavour.run(get(source, 1)).state.balance == 3


def test_a_conflict_in_every_way(flavour: Flavour) -> None:
    store = accounts()
    get = store.get_async if flavour.asynchronous else store.get
    with flavour.session() as first, flavour.session() as second:
        entities = [flavour.run(get(session, 1)) for session in (first, second)]
        for entity in entities:
            entity.write(Deposited(Decimal(1)))
        flavour.run(first.commit())
        with pytest.raises(WrongExpectedVersion) as caught:
            flavour.run(second.commit())
    assert (caught.value.expected_version, caught.value.stream_version) == (-1, 0)


def test_a_scoped_session(engine: Engine) -> None:
    deposit(engine, 1)
    registry = scoped_session(sessionmaker(engine))

    account = accounts().get(registry, 1)
    assert account.state.balance == 1
    assert repr(account).startswith("<Entity account-1, version 0: Account(balance=Decimal('1')")
    registry.remove()


def test_over_a_connection_it_can_only_be_read(engine: Engine) -> None:
    deposit(engine, 1)
    with engine.connect() as connection:
        account = accounts().get(MessageStore(connection), 1)
        assert account.state.balance == 1
        with pytest.raises(InvalidArgument, match="read over a Connection, which has no outbox"):
            account.write(Deposited(Decimal(1)))


@pytest.mark.parametrize("source", [3, None])
def test_other_sources_are_refused(source: Any) -> None:
    with pytest.raises(InvalidArgument, match="db must be a Session or a Connection"):
        accounts().get(source, 1)


def test_a_long_stream_is_read_in_pages(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdb_sqla.entities.event_rows.PAGE", 3)
    monkeypatch.setattr("mdb_sqla.entities.state_reader.PAGE", 3)
    store = accounts(cache=10)
    for count in range(1, 9):
        deposit(engine, count)
        expected = Account(Decimal(sum(range(count + 1))), [Decimal(n + 1) for n in range(count)])
        assert read(engine, accounts()) == (expected, count - 1)
        assert read(engine, store) == (expected, count - 1)


def _delete(engine: Engine, position: int) -> None:
    execute(
        engine, "DELETE FROM message_store.messages WHERE position = :position", position=position
    )


def test_a_gap_is_an_error(engine: Engine) -> None:
    deposit(engine, 1, 2, 3)
    _delete(engine, 1)

    with pytest.raises(EventsMissing) as caught:
        read(engine, accounts())
    assert str(caught.value) == (
        "Stream account-1 has no messages from position 1 to 1: they were deleted, and no usable "
        "snapshot has the state at position 1"
    )
    assert caught.value.position == 1


def test_a_truncated_stream_is_an_error(engine: Engine) -> None:
    deposit(engine, 1, 2, 3)
    with engine.begin() as connection:
        retention.set_policy(connection, "account", keep_last=1)
    retention.run(engine)

    with pytest.raises(EventsMissing, match="no messages from position 0 to 1:"):
        read(engine, accounts())


def test_a_stream_without_its_messages_is_an_error(engine: Engine) -> None:
    deposit(engine, 1, 2, 3)
    with engine.begin() as connection:
        retention.set_policy(connection, "account", keep_age=timedelta(microseconds=1))
    retention.run(engine)

    with pytest.raises(EventsMissing, match="no messages from position 0 to 2:"):
        read(engine, accounts())


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("cache", [None, 10])
def test_an_erased_stream_is_an_error(engine: Engine, cache: int | None, whole: bool) -> None:
    store = accounts(cache=cache)
    write(engine, Deposited(Decimal(1)), Deposited(Decimal(2)), Closed())
    read(engine, store)
    with engine.begin() as connection:
        erase_stream(connection, "account-1", reason="asked for", whole=whole)

    if whole:
        with pytest.raises(EventsMissing):
            read(engine, store)
    else:
        with pytest.raises(EntityErased, match="position 0 of stream account-1 was erased"):
            read(engine, store)


def test_events_without_contents_are_not_taken_for_erased(engine: Engine) -> None:
    write(engine, Closed())

    assert read(engine, accounts())[0].is_closed


@pytest.mark.parametrize("snapshots", [None, Snapshots(every=2)])
def test_events_that_are_written_while_a_stream_is_read(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, snapshots: Snapshots | None
) -> None:
    """The first read has found no events; before the second one, there are some."""
    store = accounts(snapshots=snapshots)
    numbers = [1]
    if snapshots is not None:
        with UnitOfWork(sessionmaker(engine)) as unit:
            store.get(unit, 1).write(Deposited(Decimal(1)), Deposited(Decimal(2)))
            unit.commit()
        execute(engine, "DELETE FROM message_store.messages WHERE stream_name = 'account-1'")
        execute(
            engine,
            "INSERT INTO message_store.stream_heads (stream_name, version) VALUES ('account-1', 1)",
        )
        numbers = [1, 2, 3]

    def version(db: Any, name: str) -> int:
        monkeypatch.undo()
        deposit(engine, numbers[-1])
        return stream_version(db, name)

    monkeypatch.setattr("mdb_sqla.entities.state_reader.stream_version", version)
    assert read(engine, store)[0].history == numbers
