"""An application that knows only `session.commit()`."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
from sqlalchemy import Delete, Insert, Update, create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from mdb_sqla import (
    InvalidArgument,
    Message,
    MessageStore,
    NotCommitted,
    UnitOfWork,
    WrongExpectedVersion,
    write_on_commit,
)
from tests.waiting import collect_garbage, wait_until


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


def test_a_session_that_has_to_be_rolled_back_takes_no_more(
    flavour: Any, committed: Any, order: Any
) -> None:
    with flavour.session() as session:
        session.add_all([order(state="same"), order(state="same")])
        with pytest.raises(Exception, match="orders_state_key"):
            flavour.run(session.flush())
        with pytest.raises(InvalidArgument, match="must be rolled back"):
            write_on_commit(session, "order-1", Message("A"))
        flavour.run(session.rollback())
        write_on_commit(session, "order-1", Message("B"))
        flavour.run(session.commit())

    assert committed.messages() == [("order-1", "B", 0)]


def test_data_is_what_it_was_when_it_was_handed_in(flavour: Any, committed: Any) -> None:
    with flavour.session() as session:
        data = {"n": 0}
        for data["n"] in range(3):
            write_on_commit(session, "order-1", Message("T", data))
        flavour.run(session.commit())
        stored = flavour.run(flavour.store(session).read_stream("order-1"))

    assert [message.data["n"] for message in stored] == [0, 1, 2]


@pytest.mark.parametrize("nested", [False, True])
def test_info_is_the_applications(flavour: Any, committed: Any, nested: bool) -> None:
    with flavour.session() as session:
        write_on_commit(session, "order-1", Message("A"))
        session.info.clear()
        savepoint = flavour.run(session.begin_nested()) if nested else None
        write_on_commit(session, "order-1", Message("B"))
        session.info.clear()
        if savepoint is not None:
            flavour.run(savepoint.commit())
        flavour.run(session.commit())

    assert [type_ for _, type_, _ in committed.messages()] == ["A", "B"]


def test_a_session_that_can_not_be_hashed(clean_database: Any, committed: Any) -> None:
    class Equal(Session):
        __slots__ = ("own",)

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Session)

        __hash__ = None  # type: ignore[assignment]  # what is tested

    engine = create_engine(clean_database)
    with Equal(engine) as one, Equal(engine) as other:
        write_on_commit(one, "order-1", Message("A"))
        write_on_commit(other, "order-2", Message("B"))
        with UnitOfWork(Equal(engine)) as unit:
            unit.write("order-3", Message("C"))
            unit.commit()
        one.commit()
    engine.dispose()

    assert [name for name, _, _ in committed.messages()] == ["order-3", "order-1"]


def test_a_session_with_a_registry_of_its_own(clean_database: Any, committed: Any) -> None:
    class Registered(Session):
        registry = "services"

    engine = create_engine(clean_database)
    with Registered(engine) as session:
        write_on_commit(session, "order-1", Message("A"))
        session.commit()
    engine.dispose()

    assert committed.messages() == [("order-1", "A", 0)]


def test_info_that_is_handed_on_is_no_shared_outbox(flavour: Any, committed: Any) -> None:
    with flavour.session() as one:
        write_on_commit(one, "order-1", Message("one"))
        with flavour.session(info=one.info) as other:
            write_on_commit(other, "order-2", Message("other"))
            flavour.run(other.commit())
        assert committed.messages() == [("order-2", "other", 0)]
        flavour.run(one.commit())

    assert committed.messages() == [("order-2", "other", 0), ("order-1", "one", 0)]


def test_autocommit_is_refused(flavour: Any, committed: Any) -> None:
    engine = flavour.engine.execution_options(isolation_level="AUTOCOMMIT")
    session = (AsyncSession if flavour.asynchronous else Session)(engine)
    write_on_commit(session, "order-1", Message("A"))
    with pytest.raises(InvalidArgument, match="AUTOCOMMIT"):
        flavour.run(session.commit())
    flavour.run(session.rollback())
    flavour.run(session.close())

    assert committed.messages() == []


def test_reads_and_writes_on_engines_of_their_own(clean_database: Any, committed: Any) -> None:
    """SQLAlchemy's recipe for a leader and its followers."""
    leader = create_engine(clean_database)
    follower = create_engine(
        clean_database, connect_args={"options": "-c default_transaction_read_only=on"}
    )

    class Routed(Session):
        def get_bind(self, mapper: Any = None, *, clause: Any = None, **kw: Any) -> Any:
            writes = self._flushing or isinstance(clause, Update | Delete | Insert)
            return leader if writes else follower

    with Routed() as session:
        write_on_commit(session, "order-1", [Message("A"), Message("B")])
        session.commit()
        assert MessageStore(session).version("order-1") == 1
    leader.dispose()
    follower.dispose()


def test_a_connection_is_left_as_it_was(flavour: Any, committed: Any) -> None:
    with flavour.connection() as connection:
        for _ in range(3):
            session = (AsyncSession if flavour.asynchronous else Session)(bind=connection)
            flavour.run(session.begin())
            savepoint = flavour.run(session.begin_nested())
            write_on_commit(session, "order-1", Message("A"))
            flavour.run(savepoint.commit())
            flavour.run(session.commit())
            flavour.run(session.close())
        listeners = list(getattr(connection, "sync_connection", connection).dispatch.commit)
        flavour.run(connection.rollback())

    assert listeners == []
    assert len(committed.messages()) == 3


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


def test_scoped_sessions(flavour: Any, committed: Any) -> None:
    if flavour.asynchronous:
        registry: Any = async_scoped_session(async_sessionmaker(flavour.engine), lambda: 1)
    else:
        registry = scoped_session(sessionmaker(flavour.engine))
    store = flavour.store(registry)
    for type_ in ("A", "B"):
        write_on_commit(registry, "order-1", Message(type_))
        flavour.run(registry.commit())
        flavour.run(store.write("order-2", Message(type_)))
        flavour.run(registry.commit())
        flavour.run(registry.remove())

    assert [type_ for _, type_, _ in committed.messages()] == ["A", "A", "B", "B"]


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


@pytest.mark.parametrize("closed", [True, False])
def test_a_session_is_not_kept_alive(committed: Any, clean_database: Any, closed: bool) -> None:
    engine = create_engine(clean_database)
    session = Session(engine)
    savepoint = session.begin_nested()
    write_on_commit(session, "order-1", Message("A"))
    savepoint.commit()
    if closed:
        session.close()
    reference = weakref.ref(session)
    del session, savepoint

    def is_collected() -> bool:
        # What is finalized may leave more behind, and nothing is done while a thread collects.
        collect_garbage()
        return reference() is None

    wait_until(is_collected)
    engine.dispose()
