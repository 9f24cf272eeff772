"""Sessions within a transaction that the application has begun on a connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import InvalidArgument, Message, WrongExpectedVersion, write_on_commit

MODES = ["conditional_savepoint", "rollback_only", "create_savepoint", "control_fully"]


@contextmanager
def joined(flavour: Any, connection: Any, mode: str = MODES[0]) -> Iterator[Any]:
    kind: Any = AsyncSession if flavour.asynchronous else Session
    session = kind(bind=connection, join_transaction_mode=mode)
    yield session
    flavour.run(session.close())


@pytest.fixture
def connection(flavour: Any) -> Iterator[Any]:
    with flavour.connection() as connection:
        yield connection


@pytest.fixture(params=["transaction", "savepoint"])
def outer(request: pytest.FixtureRequest, flavour: Any, connection: Any) -> Any:
    transaction = flavour.run(connection.begin())
    return transaction if request.param == "transaction" else flavour.run(connection.begin_nested())


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_a_savepoint_left_open(
    flavour: Any, committed: Any, order: Any, connection: Any, outer: Any, mode: str, before: bool
) -> None:
    with joined(flavour, connection, mode) as session:
        transaction = flavour.run(session.begin())
        if before:
            pending = write_on_commit(session, "order-1", Message("A"))
        flavour.run(session.begin_nested())
        session.add(order(state="new"))
        if not before:
            pending = write_on_commit(session, "order-1", Message("A"))
        flavour.run(transaction.commit())
    if outer.is_active:
        flavour.run(outer.commit())
    flavour.run(connection.commit())

    assert committed.orders() == ["new"]
    assert committed.messages() == [("order-1", "A", 0)]
    assert pending.position == 0


def test_a_refusal_under_a_savepoint_left_open_commits_nothing(
    flavour: Any, committed: Any, order: Any, connection: Any
) -> None:
    outer = flavour.run(connection.begin())
    with joined(flavour, connection) as session:
        transaction = flavour.run(session.begin())
        flavour.run(session.begin_nested())
        session.add(order(state="new"))
        write_on_commit(session, "order-1", Message("A"), expected_version=3)
        with pytest.raises(WrongExpectedVersion):
            flavour.run(transaction.commit())
    assert not outer.is_active
    flavour.run(outer.close())

    assert committed.orders() == []


@pytest.mark.parametrize("mode", MODES)
def test_rows_of_a_session_that_was_closed_are_not_committed_without_its_messages(
    flavour: Any, committed: Any, order: Any, connection: Any, outer: Any, mode: str
) -> None:
    with joined(flavour, connection, mode) as session:
        session.add(order(state="new"))
        write_on_commit(session, "order-1", Message("A"))
        flavour.run(session.flush())
    rolled_back = mode in {"create_savepoint", "control_fully"} or (
        mode == "conditional_savepoint" and is_savepoint(outer)
    )
    if rolled_back:
        if outer.is_active:
            flavour.run(outer.commit())
    else:
        with pytest.raises(InvalidArgument, match=r"closed with pending messages to order-1"):
            flavour.run(outer.commit())
    if connection.in_transaction():
        flavour.run(connection.commit())

    assert committed.orders() == []
    assert committed.messages() == []


def is_savepoint(transaction: Any) -> bool:
    return bool(getattr(transaction, "nested", False)) or "Nested" in type(transaction).__name__


def test_a_rollback_of_the_connection_forgets_rows_and_messages(
    flavour: Any, committed: Any, order: Any, connection: Any
) -> None:
    """As in test suites, whose connections go on afterwards."""
    outer = flavour.run(connection.begin())
    with joined(flavour, connection) as session:
        session.add(order(state="new"))
        write_on_commit(session, "order-1", Message("A"))
        flavour.run(session.flush())
    flavour.run(outer.rollback())
    with joined(flavour, connection) as session:
        session.add(order(state="next"))
        write_on_commit(session, "order-2", Message("B"))
        flavour.run(session.commit())
    flavour.run(connection.commit())

    assert committed.orders() == ["next"]
    assert committed.messages() == [("order-2", "B", 0)]


@pytest.mark.parametrize("raises", [False, True])
def test_a_unit_of_work_that_is_left_without_commit_rolls_back(
    flavour: Any, committed: Any, order: Any, connection: Any, raises: bool
) -> None:
    outer = flavour.run(connection.begin())
    factory: Any = (async_sessionmaker if flavour.asynchronous else sessionmaker)(connection)
    try:
        with flavour.unit_of_work(factory) as unit:
            unit.session.add(order(state="new"))
            flavour.run(unit.session.flush())
            unit.write("order-1", Message("A"))
            if raises:
                raise LookupError
    except LookupError:
        pass
    assert not outer.is_active
    flavour.run(outer.close())

    assert committed.orders() == []
    assert committed.messages() == []


def test_what_a_unit_of_work_has_only_read_is_there_afterwards(
    flavour: Any, committed: Any, order: Any
) -> None:
    factory: Any = (async_sessionmaker if flavour.asynchronous else sessionmaker)(flavour.engine)
    with flavour.unit_of_work(factory) as unit:
        unit.session.add(order(id=1, state="new"))
        flavour.run(unit.commit())
    with flavour.unit_of_work(factory) as unit:
        read = flavour.run(unit.session.get(order, 1))

    assert read.state == "new"
