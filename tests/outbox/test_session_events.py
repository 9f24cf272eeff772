"""Messages that are handed in by events of SQLAlchemy's, in time and too late."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session, object_session

from mdb_sqla import InvalidArgument, Message, write_on_commit
from tests.outbox.conftest import sync


@pytest.mark.parametrize("earlier", [False, True])
def test_messages_handed_in_by_the_applications_own_events(
    flavour: Any, committed: Any, order: Any, earlier: bool
) -> None:
    """Domain events that are gathered while the session is flushed are a common pattern."""
    with flavour.session() as session:
        for name in ("before_flush", "after_flush", "before_commit"):

            def hand_in(s: Session, *_: object, name: str = name) -> None:
                write_on_commit(s, "order-1", Message(name))

            event.listen(sync(session), name, hand_in)
        if earlier:
            write_on_commit(session, "order-1", Message("first"))
        session.add(order(state="new"))
        flavour.run(session.commit())

    types = [type_ for _, type_, _ in committed.messages()]
    assert types == ["first"] * earlier + ["before_flush", "after_flush", "before_commit"]


def test_messages_handed_in_by_a_mapper(flavour: Any, committed: Any, order: Any) -> None:
    def hand_in(mapper: object, connection: object, row: Any) -> None:
        session = object_session(row)
        assert session is not None
        write_on_commit(session, f"order-{row.id}", Message("Placed"))

    event.listen(order, "after_insert", hand_in)
    try:
        with flavour.session() as session:
            session.add(order(state="new"))
            flavour.run(session.commit())
    finally:
        event.remove(order, "after_insert", hand_in)

    assert committed.messages() == [("order-1", "Placed", 0)]


def test_what_a_flush_creates_is_flushed_before_the_messages(
    flavour: Any, committed: Any, order: Any, statements: Any
) -> None:
    with flavour.session() as session:

        def add_another(s: Session, _: object) -> None:
            if not s.info.setdefault("added", False):
                s.info["added"] = True
                s.add(order(state="second"))

        event.listen(sync(session), "after_flush_postexec", add_another)
        session.add(order(state="first"))
        write_on_commit(session, "order-1", Message("A"))
        flavour.run(session.commit())

    assert ["INSERT INTO orders" in statement for statement in statements()[-4:]] == [
        True,
        True,
        False,
        False,
    ]
    assert "write_message" in statements()[-2]


def test_after_the_commit_it_is_too_late(flavour: Any, committed: Any) -> None:
    refused = []

    def hand_in(s: Session) -> None:
        with pytest.raises(InvalidArgument, match="already committed") as error:
            write_on_commit(s, "order-1", Message("B"))
        refused.append(error)

    with flavour.session() as session:
        event.listen(sync(session), "after_commit", hand_in)
        write_on_commit(session, "order-1", Message("A"))
        flavour.run(session.commit())

    assert len(refused) == 1
    assert committed.messages() == [("order-1", "A", 0)]


def test_after_a_rollback_it_is_too_late(flavour: Any, committed: Any) -> None:
    refused = []

    def hand_in(s: Session) -> None:
        with pytest.raises(
            InvalidArgument, match=r"messages to order-1: .* in a new transaction"
        ) as error:
            write_on_commit(s, "order-1", Message("A"))
        refused.append(error)

    with flavour.session() as session:
        event.listen(sync(session), "after_rollback", hand_in)
        event.listen(
            sync(session),
            "after_soft_rollback",
            lambda s, _: write_on_commit(s, "order-1", Message("B")),
            once=True,
        )
        flavour.run(session.execute(text("SELECT 1")))
        flavour.run(session.rollback())
        flavour.run(session.commit())

    assert len(refused) == 1
    assert committed.messages() == [("order-1", "B", 0)]
