"""The cache never changes what is read, whatever other transactions and threads do."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import (
    Consumer,
    InvalidArgument,
    MessageStore,
    MessageTypes,
    StoredMessage,
    UnitOfWork,
    WrongExpectedVersion,
)
from mdb_sqla.entities import EntityStore, Snapshots
from tests.conftest import Databases
from tests.entities.accounts import (
    Account,
    Closed,
    Deposited,
    accounts,
    deposit,
    execute,
    read,
    types,
    write,
)


def rows_read(engine: Engine, store: EntityStore[Any], id_: object = 1) -> int:
    """The number of rows that a read gets from the server."""
    numbers: list[int] = []

    def count(_connection: Any, cursor: Any, *_others: Any) -> None:
        numbers.append(cursor.rowcount)

    event.listen(engine, "after_cursor_execute", count)
    try:
        read(engine, store, id_)
    finally:
        event.remove(engine, "after_cursor_execute", count)
    return sum(numbers)


def test_only_the_last_event_is_read_again(engine: Engine) -> None:
    store = accounts(cache=10)
    deposit(engine, 1, 2, 3)
    assert [rows_read(engine, store) for _ in range(3)] == [3, 1, 1]

    deposit(engine, 4, 5)
    assert [rows_read(engine, store) for _ in range(2)] == [3, 1]
    assert read(engine, store) == read(engine, accounts())


def test_with_snapshots(engine: Engine) -> None:
    store = accounts(cache=10, snapshots=Snapshots(every=3))
    for amount in range(1, 9):
        with UnitOfWork(sessionmaker(engine)) as unit:
            store.get(unit, 1).write(Deposited(Decimal(amount)))
            unit.commit()
        assert read(engine, store) == read(engine, accounts())
    assert rows_read(engine, store) == 1
    with Session(engine) as session:
        recorded = MessageStore(session).read_stream("account:snapshot-1")
    assert [each.data["entityVersion"] for each in recorded] == [2, 5]
    # Another process begins with the snapshot, and so does its cache.
    other = accounts(cache=10, snapshots=Snapshots(every=3))
    assert [rows_read(engine, other) for _ in range(2)] == [4, 1]


def test_a_snapshot_alone_is_cached(engine: Engine) -> None:
    with UnitOfWork(sessionmaker(engine)) as unit:
        accounts(snapshots=Snapshots(every=1)).get(unit, 1).write(Deposited(Decimal(1)))
        unit.commit()

    store = accounts(cache=10, snapshots=Snapshots(every=1))
    assert [rows_read(engine, store) for _ in range(2)] == [2, 1]


def test_it_is_bounded(engine: Engine) -> None:
    store = accounts(cache=2)
    for number in range(4):
        deposit(engine, 1, 2, stream=f"account-{number}")
        read(engine, store, number)

    assert [rows_read(engine, store, number) for number in (3, 2, 0, 3)] == [1, 1, 2, 2]


def test_states_are_not_shared(engine: Engine) -> None:
    store = accounts(cache=10)
    deposit(engine, 1)
    for _ in range(3):
        with UnitOfWork(sessionmaker(engine)) as unit:
            account = store.get(unit, 1)
            assert account.state == Account(Decimal(1), [Decimal(1)])
            account.write(Deposited(Decimal(2)))
            account.state.history.append(Decimal(99))


def test_what_is_rolled_back_is_not_there(engine: Engine) -> None:
    store = accounts(cache=10)
    deposit(engine, 1)
    with Session(engine) as session:
        account = store.get(session, 1)
        account.write(Deposited(Decimal(2)))
        session.rollback()
    assert read(engine, store)[0].history == [1]


def test_own_writes_are_not_cached_before_the_commit(engine: Engine) -> None:
    """A repeated message has the same id, so the id alone does not show the rollback."""
    store = accounts(cache=10)
    deposit(engine, 1)
    read(engine, store)
    last = types.message(Deposited(Decimal(3)))
    for amount in (100, 2):
        with Session(engine) as session:
            MessageStore(session, types=types).write(
                "account-1", [Deposited(Decimal(amount)), last]
            )
            assert store.get(session, 1).state.history == [1, amount, 3]
            if amount == 100:
                session.rollback()
            else:
                session.commit()

    assert read(engine, store)[0].history == [1, 2, 3]


def test_own_writes_in_a_savepoint(engine: Engine) -> None:
    store = accounts(cache=10)
    with Session(engine) as session:
        with session.begin_nested() as savepoint:
            MessageStore(session, types=types).write("account-1", Deposited(Decimal(100)))
            assert store.get(session, 1).state.history == [100]
            savepoint.rollback()
        session.commit()
    deposit(engine, 1)

    assert rows_read(engine, store) == 1
    assert read(engine, store)[0].history == [1]
    assert rows_read(engine, accounts(cache=10)) == 1


def test_nothing_of_a_transaction_that_has_written_is_cached(engine: Engine) -> None:
    store = accounts(cache=10)
    deposit(engine, 1, 2)
    with Session(engine) as session:
        MessageStore(session).write("other-1", types.message(Closed()))
        store.get(session, 1)
        session.commit()

    assert rows_read(engine, store) == 2


def test_two_phases(engine: Engine) -> None:
    store = accounts(cache=10)
    deposit(engine, 1)
    with Session(engine, twophase=True) as session:
        MessageStore(session, types=types).write("account-1", Deposited(Decimal(2)))
        assert store.get(session, 1).state.history == [1, 2]
        session.prepare()
        session.rollback()

    assert read(engine, store)[0].history == [1]


def test_a_restored_store(engine: Engine) -> None:
    """The same positions and ids, but other events before the last."""
    store = accounts(cache=10)
    last = types.message(Deposited(Decimal(3)))
    write(engine, Deposited(Decimal(1)), last)
    assert read(engine, store)[0].history == [1, 3]
    execute(engine, "TRUNCATE message_store.messages RESTART IDENTITY")
    write(engine, Deposited(Decimal(2)), last)

    assert read(engine, store)[0].history == [2, 3]


@pytest.mark.parametrize("numbers", [(), (5,), (5, 6, 7, 8)])
def test_a_store_that_was_set_back(engine: Engine, numbers: tuple[int, ...]) -> None:
    store = accounts(cache=10)
    deposit(engine, 1, 2, 3)
    read(engine, store)
    execute(engine, "TRUNCATE message_store.messages")
    deposit(engine, 4, *numbers)

    assert read(engine, store)[0].history == [4, *numbers]


def test_a_stream_of_events_without_contents(engine: Engine) -> None:
    store = accounts(cache=10)
    write(engine, Closed(), Closed())
    for _ in range(2):
        assert read(engine, store) == (Account(is_closed=True), 1)
    write(engine, Deposited(Decimal(1)), Closed())
    for _ in range(2):
        assert read(engine, store) == read(engine, accounts())


@dataclass(frozen=True)
class Opened:
    by: str | None = None


@dataclass(frozen=True)
class Shut:
    pass


@dataclass(frozen=True)
class Locked:
    pass


@dataclass(frozen=True)
class Door:
    last: str = ""


@pytest.mark.parametrize("snapshots", [None, Snapshots(every=2)])
def test_other_events_without_contents_after_a_failover(
    engine: Engine, snapshots: Snapshots | None
) -> None:
    """The promoted server lacks the last event, and another one takes its place in the stream."""
    door_types = MessageTypes(Opened, Shut, Locked)

    def evolve(_state: Door, event: object) -> Door:
        return Door(type(event).__name__)

    def doors(**options: Any) -> EntityStore[Door]:
        return EntityStore(
            "door", Door, evolve=evolve, types=door_types, snapshots=snapshots, **options
        )

    def change(*events: object) -> None:
        with UnitOfWork(sessionmaker(engine)) as unit:
            store.get(unit, 1).write(*events)
            unit.commit()

    store = doors(cache=10)
    change(Opened("me"), Shut())
    change(Shut())
    assert read(engine, store) == (Door("Shut"), 2)

    execute(engine, "DELETE FROM message_store.messages WHERE position = 2")
    with Session(engine) as session, session.begin():
        MessageStore(session, types=door_types).write("door-1", Locked())
    assert read(engine, store) == read(engine, doors()) == (Door("Locked"), 2)
    assert rows_read(engine, store) == 3  # the cache has it: from the last event with contents on


def test_two_databases(databases: Databases, template: Any) -> None:
    store = accounts(cache=10)
    with databases.create(template) as first, databases.create(template) as second:
        engines = [create_engine(url) for url in (first, second)]
        for engine, amount in zip(engines, (1, 2), strict=True):
            deposit(engine, amount)
        for _ in range(2):
            for engine, amount in zip(engines, (1, 2), strict=True):
                assert read(engine, store)[0].history == [amount]
        for engine in engines:
            engine.dispose()


def test_an_older_snapshot_of_the_database(engine: Engine) -> None:
    """A transaction at REPEATABLE READ reads an older version than the cache has."""
    store = accounts(cache=10)
    deposit(engine, 1)
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        connection.exec_driver_sql("SELECT 1 FROM message_store.messages")
        deposit(engine, 2)
        assert read(engine, store)[0].history == [1, 2]
        assert store.get(connection, 1).state.history == [1]
    assert read(engine, store)[0].history == [1, 2]


def test_threads(engine: Engine) -> None:
    """Writers and readers of few entities: what is read is what was written up to that version."""
    store = accounts(cache=2)
    factory = sessionmaker(engine)
    stop = threading.Event()

    def work(number: int) -> int:
        count = 0
        while not stop.is_set() or not count:
            with UnitOfWork(factory) as unit:
                account = store.get(unit, count % 3)
                assert len(account.state.history) == account.version + 1
                assert account.state.balance == sum(account.state.history)
                if number % 2:
                    account.write(Deposited(Decimal(count)))
                    with suppress(WrongExpectedVersion):
                        unit.commit()
            count += 1
        return count

    timer = threading.Timer(1.5, stop.set)
    timer.start()
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(work, range(4)))

    assert min(counts) > 3
    for number in range(3):
        assert read(engine, store, number) == read(engine, accounts(), number)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cachetools", None)

    with pytest.raises(InvalidArgument, match=r'pip install "mdb_sqla\[entities\]"'):
        accounts(cache=1)


def test_handlers_of_consumers_fill_it(engine: Engine) -> None:
    store = accounts(cache=10)
    deposit(engine, 1, 2, 3)
    consumer = Consumer("commands", "account", transaction_size=10)

    @consumer.on("Deposited")
    def handle(message: StoredMessage, unit: UnitOfWork) -> None:
        store.get(unit, 1)

    consumer.catch_up(sessionmaker(engine))

    assert rows_read(engine, store) == 1
