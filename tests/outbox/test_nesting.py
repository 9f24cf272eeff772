"""A unit of work within another, or used outside of its block: refused, and nothing gets lost."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from mdb_sqla import (
    AsyncUnitOfWork,
    InvalidArgument,
    Message,
    UnitOfWork,
    expect_on_commit,
    write_on_commit,
)
from mdb_sqla.outbox.session_scope import _lock
from tests.waiting import collect_garbage


@pytest.fixture
def factory(flavour: Any, committed: Any) -> Any:
    return (async_sessionmaker if flavour.asynchronous else sessionmaker)(flavour.engine)


@pytest.fixture
def sync_factory(clean_database: URL, committed: Any) -> Iterator[sessionmaker[Session]]:
    engine = create_engine(clean_database)
    yield sessionmaker(engine)
    engine.dispose()


def unit_of(flavour: Any, source: Any) -> Any:
    return (AsyncUnitOfWork if flavour.asynchronous else UnitOfWork)(source)


def enter(flavour: Any, unit: Any) -> None:
    flavour.run(unit.__aenter__() if flavour.asynchronous else unit.__enter__())


def leave(flavour: Any, unit: Any) -> None:
    nothing = None, None, None
    flavour.run(unit.__aexit__(*nothing) if flavour.asynchronous else unit.__exit__(*nothing))


def test_it_is_entered_once_at_a_time(flavour: Any, factory: Any, committed: Any) -> None:
    with flavour.unit_of_work(factory) as unit:
        unit.write("outer-1", Message("A"))
        with pytest.raises(InvalidArgument, match="UnitOfWork is already entered"):
            enter(flavour, unit)
        flavour.run(unit.commit())

    assert committed.messages() == [("outer-1", "A", 0)]


def test_it_can_be_entered_again_afterwards(flavour: Any, factory: Any, committed: Any) -> None:
    with flavour.unit_of_work(factory) as unit:
        unit.write("order-1", Message("A"))
        flavour.run(unit.commit())
    enter(flavour, unit)
    unit.write("order-1", Message("B"))
    flavour.run(unit.commit())
    leave(flavour, unit)

    assert [type_ for _, type_, _ in committed.messages()] == ["A", "B"]


@pytest.mark.parametrize("scoped", [False, True])
def test_a_session_has_one_at_a_time(
    flavour: Any, factory: Any, committed: Any, order: Any, scoped: bool
) -> None:
    if not scoped:
        source = factory()
    elif flavour.asynchronous:
        source = async_scoped_session(factory, lambda: 1)
    else:
        source = scoped_session(factory)
    with flavour.unit_of_work(source) as outer:
        outer.session.add(order(state="outer"))
        outer.write("outer-1", Message("A"))
        with (
            pytest.raises(InvalidArgument, match="already has a unit of work"),
            flavour.unit_of_work(source),
        ):
            pass
        flavour.run(outer.commit())
        # Also between two of its transactions.
        with (
            pytest.raises(InvalidArgument, match="already has a unit of work"),
            flavour.unit_of_work(source),
        ):
            pass
    with flavour.unit_of_work(source) as following:
        following.write("outer-1", Message("B"))
        flavour.run(following.commit())
    flavour.run(source.close())

    assert committed.orders() == ["outer"]
    assert [type_ for _, type_, _ in committed.messages()] == ["A", "B"]


def test_a_sync_one_within_an_async_one(flavour: Any, factory: Any, committed: Any) -> None:
    def work(session: Session) -> None:
        with pytest.raises(InvalidArgument, match="already has a unit of work"):
            UnitOfWork(session).__enter__()

    with flavour.unit_of_work(factory) as outer:
        outer.write("outer-1", Message("A"))
        if flavour.asynchronous:
            flavour.run(outer.session.run_sync(work))
        else:
            work(outer.session)
        flavour.run(outer.commit())

    assert committed.messages() == [("outer-1", "A", 0)]


def test_units_with_sessions_of_their_own_can_nest(
    flavour: Any, factory: Any, committed: Any
) -> None:
    with flavour.unit_of_work(factory) as outer, flavour.unit_of_work(factory) as inner:
        outer.write("outer-1", Message("A"))
        inner.write("inner-1", Message("B"))
        flavour.run(inner.commit())
        flavour.run(outer.commit())

    assert committed.messages() == [("inner-1", "B", 0), ("outer-1", "A", 0)]


@pytest.mark.parametrize("hand_in", [write_on_commit, expect_on_commit])
def test_messages_that_were_handed_in_before_are_not_rolled_back_with_it(
    flavour: Any, committed: Any, hand_in: Any
) -> None:
    with flavour.session() as session:
        hand_in(session, "order-1", -1 if hand_in is expect_on_commit else Message("A"))
        with (
            pytest.raises(InvalidArgument, match="pending messages from before this unit of work"),
            flavour.unit_of_work(session),
        ):
            pass
        write_on_commit(session, "order-1", Message("B"))
        flavour.run(session.commit())
        with flavour.unit_of_work(session) as unit:
            unit.write("order-1", Message("C"))
            flavour.run(unit.commit())

    types = [type_ for _, type_, _ in committed.messages()]
    assert types == (["B", "C"] if hand_in is expect_on_commit else ["A", "B", "C"])


def test_one_that_is_forgotten_within_its_block_leaves_the_session_to_others(
    flavour: Any, factory: Any, committed: Any
) -> None:
    session = factory()
    forgotten = unit_of(flavour, session)
    enter(flavour, forgotten)
    del forgotten
    collect_garbage()
    with flavour.unit_of_work(session) as unit:
        unit.write("order-1", Message("A"))
        flavour.run(unit.commit())
    flavour.run(session.close())

    assert committed.messages() == [("order-1", "A", 0)]


USES = [
    lambda unit: unit.write("order-1", Message("A")),
    lambda unit: unit.expect("order-1", -1),
    lambda unit: unit.session,
    lambda unit: unit.store,
    lambda unit: unit.commit(),
    lambda unit: unit.rollback(),
]


@pytest.mark.parametrize("use", USES)
def test_outside_of_its_block_it_is_refused(
    flavour: Any, factory: Any, committed: Any, use: Any
) -> None:
    unit = unit_of(flavour, factory)
    for _ in range(2):
        with pytest.raises(InvalidArgument, match="used outside its `with` block"):
            flavour.run(use(unit))
        enter(flavour, unit)
        leave(flavour, unit)


def test_what_is_kept_of_it_can_not_be_used_afterwards(
    flavour: Any, factory: Any, committed: Any
) -> None:
    with flavour.unit_of_work(factory) as unit:
        session, store = unit.session, unit.store
        flavour.run(unit.commit())
        # Between two transactions, it can.
        assert flavour.run(store.write("order-1", Message("A"))) == 0
        flavour.run(unit.commit())
    with pytest.raises(InvalidRequestError, match="permanently closed"):
        flavour.run(store.write("order-1", Message("B")))
    with pytest.raises(InvalidRequestError, match="permanently closed"):
        write_on_commit(session, "order-1", Message("B"))

    assert committed.messages() == [("order-1", "A", 0)]


def test_one_within_a_transaction_of_others_has_no_block(
    committed: Any, sync_factory: sessionmaker[Session]
) -> None:
    with sync_factory() as session:
        unit = UnitOfWork.of(session)
        unit.write("order-1", Message("A"))
        with pytest.raises(InvalidArgument, match="already entered"), unit:
            pass
        session.commit()

    assert committed.messages() == [("order-1", "A", 0)]


def test_of_threads_that_share_it_one_gets_in(
    committed: Any, sync_factory: sessionmaker[Session]
) -> None:
    unit = UnitOfWork(sync_factory)
    number = 8
    together = threading.Barrier(number)
    others_tried = threading.Event()
    outcomes: list[str] = []

    def work() -> None:
        together.wait()
        try:
            with unit:
                unit.write("order-1", Message("A"))
                others_tried.wait(10)
                unit.commit()
            outcomes.append("committed")
        except InvalidArgument:
            outcomes.append("refused")
            if len(outcomes) == number - 1:
                others_tried.set()

    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["committed"] + ["refused"] * (number - 1)
    assert len(committed.messages()) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_enters_while_another_thread_did(sync_factory: sessionmaker[Session]) -> None:
    with _lock:
        child = os.fork()
        if not child:
            status = 1
            try:
                # Another thread, for this one holds the lock in the fork as well.
                thread = threading.Thread(target=enter_and_leave, args=[sync_factory], daemon=True)
                thread.start()
                thread.join(10)
                status = 2 if thread.is_alive() else 0
            finally:
                os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def test_a_signal_handler_enters_while_its_thread_does(sync_factory: sessionmaker[Session]) -> None:
    with _lock:
        enter_and_leave(sync_factory)


def enter_and_leave(factory: sessionmaker[Session]) -> None:
    with UnitOfWork(factory):
        pass
