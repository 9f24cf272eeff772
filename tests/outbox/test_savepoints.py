"""Messages that are handed in under savepoints, which may be left open."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from mdb_sqla import InvalidMessage, Message, NotCommitted, WrongExpectedVersion, write_on_commit
from tests.outbox.conftest import sync


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


def test_a_savepoint_left_open_is_committed_with_its_messages(
    flavour: Any, committed: Any, order: Any
) -> None:
    """Committed from outside, the session has no event between the savepoint's end and COMMIT."""
    with flavour.session() as session:
        transaction = flavour.run(session.begin())
        first = write_on_commit(session, "order-1", Message("A"))
        session.add(order(state="new"))
        flavour.run(session.begin_nested())
        flavour.run(session.begin_nested())
        last = write_on_commit(session, "order-1", Message("B"))
        flavour.run(transaction.commit())
        write_on_commit(session, "order-1", Message("C"))
        flavour.run(session.commit())

    assert (first.position, last.position) == (0, 1)
    assert [type_ for _, type_, _ in committed.messages()] == ["A", "B", "C"]
    assert committed.orders() == ["new"]


def test_a_message_from_a_flush_hook_under_a_savepoint_left_open(
    flavour: Any, committed: Any, order: Any
) -> None:
    with flavour.session() as session:
        transaction = flavour.run(session.begin())
        flavour.run(session.begin_nested())
        session.add(order(state="new"))
        event.listen(
            sync(session),
            "after_flush",
            lambda s, *_: write_on_commit(s, "order-1", Message("AfterFlush")),
        )
        flavour.run(transaction.commit())

    assert committed.messages() == [("order-1", "AfterFlush", 0)]
    assert committed.orders() == ["new"]


@pytest.mark.parametrize("message", [Message("A"), Message("A", float("nan"))])
def test_a_refusal_under_a_savepoint_left_open_commits_nothing(
    flavour: Any, committed: Any, order: Any, message: Message
) -> None:
    """The connection goes on in a transaction of its own."""
    with flavour.connection() as connection:
        session = (AsyncSession if flavour.asynchronous else Session)(bind=connection)
        transaction = flavour.run(session.begin())
        session.add(order(state="ghost"))
        flavour.run(session.flush())
        flavour.run(session.begin_nested())
        write_on_commit(session, "order-1", message, expected_version=None if message.data else 3)
        with pytest.raises((WrongExpectedVersion, InvalidMessage)):
            flavour.run(transaction.commit())
        flavour.run(session.close())
        flavour.run(connection.rollback())
        flavour.run(connection.execute(text("INSERT INTO orders (state) VALUES ('next')")))
        flavour.run(connection.commit())

    assert committed.orders() == ["next"]
    assert committed.messages() == []
