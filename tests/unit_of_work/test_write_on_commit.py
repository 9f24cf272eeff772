"""An application that knows only `session.commit()`."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from mdb_sqla import (
    InvalidArgument,
    Message,
    NotCommitted,
    SavepointLeftOpen,
    WrongExpectedVersion,
    write_on_commit,
)


def sync(session: Any) -> Session:
    return getattr(session, "sync_session", session)  # type: ignore[no-any-return]


def test_commit_writes(flavour: Any, committed: Any, order: Any) -> None:
    with flavour.session() as session:
        pending = write_on_commit(session, "order-1", Message("Opened"))
        session.add(order(state="new"))
        flavour.run(session.flush())
        assert committed.messages() == []
        flavour.run(session.commit())
        assert pending.position == 0
        write_on_commit(session, "order-1", Message("Closed"))
        flavour.run(session.commit())

    assert committed.messages() == [("order-1", "Opened", 0), ("order-1", "Closed", 1)]
    assert committed.orders() == ["new"]


def test_begin_writes_at_its_end(flavour: Any, committed: Any) -> None:
    with flavour.session() as session:
        transaction = flavour.run(session.begin())
        write_on_commit(session, "order-1", Message("Opened"))
        flavour.run(transaction.commit())

    assert committed.messages() == [("order-1", "Opened", 0)]


@pytest.mark.parametrize("end", ["rollback", "close", "reset"])
def test_whatever_ends_the_transaction_otherwise_forgets(
    flavour: Any, committed: Any, end: str
) -> None:
    with flavour.session() as session:
        pending = write_on_commit(session, "order-1", Message("Opened"))
        flavour.run(getattr(session, end)())
        flavour.run(session.execute(text("SELECT 1")))
        flavour.run(session.commit())

    assert committed.messages() == []
    with pytest.raises(NotCommitted):
        _ = pending.position


def test_savepoints(flavour: Any, committed: Any) -> None:
    """What was handed in since a savepoint goes with it; the rest stays."""
    with flavour.session() as session:

        def hand_in(type_: str) -> Any:
            return write_on_commit(session, "order-1", Message(type_))

        first = hand_in("A")
        outer = flavour.run(session.begin_nested())
        hand_in("B")
        inner = flavour.run(session.begin_nested())
        lost = hand_in("lost with inner")
        flavour.run(inner.rollback())
        hand_in("C")
        flavour.run(outer.commit())
        hand_in("D")
        outer = flavour.run(session.begin_nested())
        inner = flavour.run(session.begin_nested())
        hand_in("released, then lost with outer")
        flavour.run(inner.commit())
        flavour.run(outer.rollback())
        last = hand_in("E")
        assert committed.messages() == []
        flavour.run(session.commit())

    assert [type_ for _, type_, _ in committed.messages()] == ["A", "B", "C", "D", "E"]
    assert (first.position, last.position) == (0, 4)
    with pytest.raises(NotCommitted):
        _ = lost.position


def test_a_first_message_inside_of_savepoints(flavour: Any, committed: Any) -> None:
    with flavour.session() as session:
        outer = flavour.run(session.begin_nested())
        inner = flavour.run(session.begin_nested())
        write_on_commit(session, "order-1", Message("A"))
        flavour.run(inner.commit())
        write_on_commit(session, "order-1", Message("B"))
        flavour.run(outer.rollback())
        write_on_commit(session, "order-1", Message("C"))
        flavour.run(session.commit())

    assert committed.messages() == [("order-1", "C", 0)]


def test_a_savepoint_that_an_error_leaves(flavour: Any, committed: Any, order: Any) -> None:
    with flavour.session() as session:
        savepoint = flavour.run(session.begin_nested())
        write_on_commit(session, "order-1", Message("A"))
        session.add_all([order(state="same"), order(state="same")])
        with pytest.raises(Exception, match="orders_state_key"):
            flavour.run(session.flush())
        flavour.run(savepoint.rollback())
        write_on_commit(session, "order-1", Message("B"))
        flavour.run(session.commit())

    assert committed.messages() == [("order-1", "B", 0)]


def test_commit_inside_of_a_savepoint_commits_all(flavour: Any, committed: Any) -> None:
    with flavour.session() as session:
        flavour.run(session.begin_nested())
        flavour.run(session.begin_nested())
        write_on_commit(session, "order-1", Message("A"))
        flavour.run(session.commit())

    assert committed.messages() == [("order-1", "A", 0)]


def test_a_savepoint_left_open_loses_nothing_silently(
    flavour: Any, committed: Any, order: Any
) -> None:
    """The outer transaction, committed from outside, has no event once the savepoint is gone."""
    with flavour.session() as session:
        transaction = flavour.run(session.begin())
        session.add(order(state="new"))
        flavour.run(session.begin_nested())
        write_on_commit(session, "order-1", Message("A"))
        with pytest.raises(SavepointLeftOpen):
            flavour.run(transaction.commit())
        flavour.run(session.rollback())
        write_on_commit(session, "order-1", Message("B"))
        flavour.run(session.commit())

    assert committed.orders() == []
    assert committed.messages() == [("order-1", "B", 0)]


def test_a_refusal_is_raised_from_commit(flavour: Any, committed: Any, order: Any) -> None:
    with flavour.session() as session:
        session.add(order(state="new"))
        write_on_commit(session, "order-1", Message("A"), expected_version=3)
        with pytest.raises(WrongExpectedVersion):
            flavour.run(session.commit())
        flavour.run(session.rollback())
        write_on_commit(session, "order-2", Message("B"))
        flavour.run(session.commit())

    assert committed.orders() == []
    assert committed.messages() == [("order-2", "B", 0)]


def test_messages_handed_in_by_the_applications_own_events(
    flavour: Any, committed: Any, order: Any
) -> None:
    """Domain events that are gathered while the session is flushed are a common pattern."""
    with flavour.session() as session:
        event.listen(
            sync(session),
            "before_flush",
            lambda s, *_: write_on_commit(s, "order-1", Message("BeforeFlush")),
        )
        event.listen(
            sync(session),
            "after_flush",
            lambda s, *_: write_on_commit(s, "order-1", Message("AfterFlush")),
        )
        write_on_commit(session, "order-1", Message("First"))
        event.listen(
            sync(session),
            "before_commit",
            lambda s: write_on_commit(s, "order-1", Message("BeforeCommit")),
        )
        session.add(order(state="new"))
        flavour.run(session.commit())

    types = [type_ for _, type_, _ in committed.messages()]
    assert types == ["First", "BeforeFlush", "AfterFlush", "BeforeCommit"]


def test_a_session_joined_to_an_outer_transaction(flavour: Any, committed: Any) -> None:
    """As test suites do: the session commits, the outer transaction is rolled back."""
    with flavour.connection() as connection:
        flavour.run(connection.begin())
        kind: Any = AsyncSession if flavour.asynchronous else Session
        session = kind(bind=connection, join_transaction_mode="create_savepoint")
        pending = write_on_commit(session, "order-1", Message("A"))
        flavour.run(session.commit())
        assert pending.position == 0
        assert flavour.run(flavour.store(session).version("order-1")) == 0
        flavour.run(session.close())
        flavour.run(connection.rollback())

    assert committed.messages() == []


def test_two_phase_commit(database: Any, committed: Any) -> None:
    engine = create_engine(database)
    with Session(engine, twophase=True) as session:
        if session.scalar(text("SHOW max_prepared_transactions")) == "0":
            pytest.skip("the server has max_prepared_transactions = 0")
        session.rollback()
        write_on_commit(session, "order-1", Message("A"))
        session.commit()
    engine.dispose()

    assert committed.messages() == [("order-1", "A", 0)]


def test_scoped_sessions(flavour: Any, committed: Any) -> None:
    if flavour.asynchronous:
        registry: Any = async_scoped_session(async_sessionmaker(flavour.engine), lambda: 1)
    else:
        registry = scoped_session(sessionmaker(flavour.engine))
    write_on_commit(registry, "order-1", Message("A"))
    flavour.run(registry.commit())
    assert flavour.run(flavour.store(registry).version("order-1")) == 0
    flavour.run(registry.remove())

    assert committed.messages() == [("order-1", "A", 0)]


def test_a_session_without_autobegin_must_have_begun(flavour: Any, committed: Any) -> None:
    with flavour.session(autobegin=False) as session:
        with pytest.raises(InvalidArgument, match="begin"):
            write_on_commit(session, "order-1", Message("A"))
        flavour.run(session.begin())
        write_on_commit(session, "order-1", Message("B"))
        flavour.run(session.commit())

    assert committed.messages() == [("order-1", "B", 0)]


@pytest.mark.parametrize("session", [None, "session", object()])
def test_it_needs_a_session(session: Any) -> None:
    with pytest.raises(InvalidArgument, match="Session"):
        write_on_commit(session, "order-1", Message("A"))


def test_a_session_is_not_kept_alive(committed: Any, database: Any) -> None:
    session = Session()
    write_on_commit(session, "order-1", Message("A"))
    session.close()
    reference = weakref.ref(session)
    del session
    gc.collect()

    assert reference() is None
