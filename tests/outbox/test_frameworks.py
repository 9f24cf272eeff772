"""What docs/how-to/frameworks.md says of zope.sqlalchemy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import transaction
import zope.sqlalchemy
from sqlalchemy import URL, create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import Message, TransactionConflict, WrongExpectedVersion, write_on_commit


@pytest.fixture
def sessions(clean_database: URL, committed: Any) -> Iterator[sessionmaker[Session]]:
    engine = create_engine(clean_database)
    yield sessionmaker(engine)
    transaction.abort()
    engine.dispose()


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("reads", [False, True])
def test_marked_as_changed_it_is_committed(
    sessions: sessionmaker[Session], committed: Any, keep: bool, reads: bool
) -> None:
    events = zope.sqlalchemy.register(sessions, keep_session=keep)
    session = sessions()
    with transaction.manager:
        if reads:
            session.execute(text("SELECT 1"))
        events.mark_changed(session)
        pending = write_on_commit(session, "order-1", Message("A"))
    assert pending.position == 0

    events.mark_changed(session)
    write_on_commit(session, "order-1", Message("B"), expected_version=7)
    with pytest.raises(WrongExpectedVersion):
        transaction.commit()
    transaction.abort()

    session.close()
    assert committed.messages() == [("order-1", "A", 0)]


def test_without_it_there_is_no_work(sessions: sessionmaker[Session], committed: Any) -> None:
    """Should this fail, zope.sqlalchemy has become better, and the page has to be changed."""
    events = zope.sqlalchemy.register(sessions)
    session = sessions()
    with transaction.manager:
        session.execute(text("SELECT 1"))
        write_on_commit(session, "order-1", Message("lost"))
    with transaction.manager:
        write_on_commit(session, "order-1", Message("late"))
    assert committed.messages() == []

    with transaction.manager:
        events.mark_changed(session)
    session.close()
    assert committed.messages() == [("order-1", "late", 0)]


def test_it_does_not_retry_a_conflict(sessions: sessionmaker[Session], committed: Any) -> None:
    events = zope.sqlalchemy.register(sessions)
    calls = []

    def work() -> None:
        calls.append("called")
        events.mark_changed(sessions())
        raise TransactionConflict("again", sqlstate="40001")

    with pytest.raises(TransactionConflict):
        transaction.manager.run(work)

    assert calls == ["called"]
