from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import sessionmaker

from mdb_sqla import (
    NO_STREAM,
    InvalidArgument,
    InvalidMessage,
    Message,
    NotCommitted,
    TransactionConflict,
    WrongExpectedVersion,
)
from mdb_sqla.store.copy_writes import COPY_THRESHOLD


@pytest.fixture
def factory(flavour: Any, committed: Any) -> Any:
    return (async_sessionmaker if flavour.asynchronous else sessionmaker)(flavour.engine)


def test_rows_and_messages_are_one_transaction(
    flavour: Any, factory: Any, committed: Any, order: Any
) -> None:
    with flavour.unit_of_work(factory) as unit:
        unit.session.add(order(state="new"))
        opened = unit.write("order-1", Message("Opened"))
        paid = unit.write("order-1", [Message("Paid"), Message("Sent")], expected_version=0)
        assert committed.messages() == []
        with pytest.raises(NotCommitted):
            _ = opened.position
        flavour.run(unit.commit())

    assert committed.orders() == ["new"]
    assert committed.messages() == [
        ("order-1", "Opened", 0),
        ("order-1", "Paid", 1),
        ("order-1", "Sent", 2),
    ]
    assert (opened.position, paid.position) == (0, 2)


def test_without_commit_nothing_is_left(
    flavour: Any, factory: Any, committed: Any, order: Any
) -> None:
    with flavour.unit_of_work(factory) as unit:
        unit.session.add(order(state="new"))
        pending = unit.write("order-1", Message("Opened"))

    assert committed.orders() == []
    assert committed.messages() == []
    with pytest.raises(NotCommitted, match="order-1"):
        _ = pending.position


def test_an_error_leaves_nothing(flavour: Any, factory: Any, committed: Any, order: Any) -> None:
    def work() -> None:
        with flavour.unit_of_work(factory) as unit:
            unit.session.add(order(state="new"))
            flavour.run(unit.session.flush())
            unit.write("order-1", Message("Opened"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()

    assert committed.orders() == []
    assert committed.messages() == []


def test_messages_are_the_last_statements(
    flavour: Any, factory: Any, committed: Any, order: Any, statements: Any
) -> None:
    with flavour.unit_of_work(factory) as unit:
        unit.write("order-1", Message("Opened"))
        unit.write("invoice-1", Message("Opened"))
        unit.write("order-2", Message("Opened"))
        unit.session.add(order(state="new"))
        flavour.run(unit.commit())

    kinds = [
        next(kind for kind in ("INSERT INTO orders", "write_messages", "COMMIT") if kind in sent)
        for sent in statements()
    ]
    assert kinds == ["INSERT INTO orders", "write_messages", "COMMIT"]


@pytest.mark.parametrize("count", [1, 2, COPY_THRESHOLD // 2])
def test_any_messages_are_one_round_trip(
    flavour: Any, factory: Any, committed: Any, statements: Any, count: int
) -> None:
    with flavour.unit_of_work(factory) as unit:
        unit.expect("order-0", NO_STREAM)
        for number in range(count):
            unit.write(f"order-{number % 7}", Message("Opened"))
            unit.write(f"invoice-{number % 7}", Message("Opened"))
        flavour.run(unit.commit())

    if 2 * count < COPY_THRESHOLD:
        assert len(statements()) == 2
        assert "write_messages" in statements()[0]
    else:
        # And COPY itself, which is no statement of SQLAlchemy's.
        kinds = ["prepare_copy", "SAVEPOINT", "RELEASE", "COMMIT"]
        assert [kind in sent for kind, sent in zip(kinds, statements(), strict=True)] == [True] * 4
    assert statements()[-1] == "COMMIT"
    assert len(committed.messages()) == 2 * count


def test_messages_keep_the_order_in_which_they_were_handed_in(
    flavour: Any, factory: Any, committed: Any
) -> None:
    with flavour.unit_of_work(factory) as unit:
        for stream_name, type_ in [
            ("z-1", "A"),
            ("a-1", "B"),
            ("z-1", "C"),
            ("a-2", "D"),
            ("a-1", "E"),
        ]:
            unit.write(stream_name, Message(type_))
        flavour.run(unit.commit())

    assert committed.messages() == [
        ("z-1", "A", 0),
        ("a-1", "B", 0),
        ("z-1", "C", 1),
        ("a-2", "D", 0),
        ("a-1", "E", 1),
    ]


@pytest.mark.parametrize("count", [1, 2])
def test_a_refusal_at_commit_commits_nothing(
    flavour: Any, factory: Any, committed: Any, order: Any, count: int
) -> None:
    committed.write("order-1", Message("Opened"))
    with flavour.unit_of_work(factory) as unit:
        unit.session.add(order(state="new"))
        pending = unit.write(
            "order-1", [Message("Opened") for _ in range(count)], expected_version=NO_STREAM
        )
        with pytest.raises(WrongExpectedVersion) as error:
            flavour.run(unit.commit())

    assert error.value.stream_version == 0
    assert committed.orders() == []
    assert committed.messages() == [("order-1", "Opened", 0)]
    with pytest.raises(NotCommitted):
        _ = pending.position


def test_a_failed_flush_commits_nothing(
    flavour: Any, factory: Any, committed: Any, order: Any
) -> None:
    with flavour.unit_of_work(factory) as unit:
        unit.session.add_all([order(state="same"), order(state="same")])
        unit.write("order-1", Message("Opened"))
        with pytest.raises(IntegrityError):
            flavour.run(unit.commit())
        flavour.run(unit.rollback())
        unit.write("order-2", Message("Opened"))
        flavour.run(unit.commit())

    assert committed.messages() == [("order-2", "Opened", 0)]


def test_data_that_is_not_json_commits_nothing(
    flavour: Any, factory: Any, committed: Any, order: Any
) -> None:
    with flavour.unit_of_work(factory) as unit:
        unit.session.add(order(state="new"))
        unit.write("order-1", Message("Opened"))
        with pytest.raises(InvalidMessage, match="the data must be JSON"):
            unit.write("order-2", Message("Opened", object()))
        unit.write("order-2", Message("Opened", float("nan")))
        with pytest.raises(InvalidMessage, match="NaN is not a JSON value"):
            flavour.run(unit.commit())

    assert committed.orders() == []
    assert committed.messages() == []


def test_what_was_loaded_can_be_used_afterwards(
    flavour: Any, factory: Any, committed: Any, order: Any
) -> None:
    with flavour.unit_of_work(factory) as unit:
        unit.session.add(order(state="new"))
        flavour.run(unit.commit())
        loaded = flavour.run(unit.session.get_one(order, 1))

    assert loaded.state == "new"


def test_it_can_be_used_again_after_commit_and_rollback(
    flavour: Any, factory: Any, committed: Any
) -> None:
    with flavour.unit_of_work(factory) as unit:
        unit.write("order-1", Message("A"))
        flavour.run(unit.commit())
        unit.write("order-1", Message("B"))
        flavour.run(unit.rollback())
        unit.write("order-1", Message("C"))
        flavour.run(unit.commit())

    assert committed.messages() == [("order-1", "A", 0), ("order-1", "C", 1)]


def test_it_reads_through_its_store(flavour: Any, factory: Any, committed: Any) -> None:
    committed.write("order-1", Message("Opened"))
    with flavour.unit_of_work(factory) as unit:
        version = flavour.run(unit.store.version("order-1"))
        unit.write("order-1", Message("Closed"), expected_version=version)
        flavour.run(unit.commit())

    assert committed.messages() == [("order-1", "Opened", 0), ("order-1", "Closed", 1)]


def test_on_a_session_of_the_application(flavour: Any, committed: Any, order: Any) -> None:
    with flavour.session() as session:
        session.add(order(state="new"))
        with flavour.unit_of_work(session) as unit:
            assert unit.session is session
            unit.write("order-1", Message("Opened"))
            flavour.run(unit.commit())
        assert flavour.run(session.scalar(text("SELECT count(*) FROM orders"))) == 1

    assert committed.messages() == [("order-1", "Opened", 0)]


def test_a_writer_with_an_old_snapshot_is_told_to_run_again(flavour: Any, committed: Any) -> None:
    """A retry of the whole unit of work cures it."""
    engine = flavour.engine.execution_options(isolation_level="REPEATABLE READ")
    factory = (async_sessionmaker if flavour.asynchronous else sessionmaker)(engine)

    def work() -> None:
        with flavour.unit_of_work(factory) as unit:
            flavour.run(unit.session.execute(text("SELECT 1 FROM orders")))
            if not committed.messages():
                committed.write("order-1", Message("Other"))
            unit.write("order-1", Message("Mine"))
            flavour.run(unit.commit())

    with pytest.raises(TransactionConflict) as conflict:
        work()
    assert conflict.value.sqlstate == "40001"
    work()

    assert committed.messages() == [("order-1", "Other", 0), ("order-1", "Mine", 1)]


def test_a_conflict_over_the_applications_own_rows_is_told_apart(
    flavour: Any, committed: Any, order: Any
) -> None:
    engine = flavour.engine.execution_options(isolation_level="SERIALIZABLE")
    factory = (async_sessionmaker if flavour.asynchronous else sessionmaker)(engine)
    count = text("SELECT count(*) FROM orders")
    with flavour.unit_of_work(factory) as first, flavour.unit_of_work(factory) as second:
        for unit, state in ((first, "a"), (second, "b")):
            flavour.run(unit.session.execute(count))
            unit.session.add(order(state=state))
            flavour.run(unit.session.flush())
        flavour.run(first.commit())
        with pytest.raises(TransactionConflict):
            flavour.run(second.commit())

    assert committed.orders() == ["a"]


def test_it_needs_a_session(flavour: Any) -> None:
    with pytest.raises(InvalidArgument, match="Engine"), flavour.unit_of_work(flavour.engine):
        pass


@pytest.mark.parametrize("arguments", [("", Message("T")), ("order-1", []), ("order-1", "T")])
def test_nonsense_is_refused_where_it_is_handed_in(
    flavour: Any, factory: Any, committed: Any, arguments: Any
) -> None:
    with flavour.unit_of_work(factory) as unit:
        with pytest.raises(InvalidArgument):
            unit.write(*arguments)
        flavour.run(unit.commit())

    assert committed.messages() == []
