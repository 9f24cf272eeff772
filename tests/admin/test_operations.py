"""Who has done what to the store is recorded, in the transaction that does it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, func, select, text
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import Consumer, InvalidArgument, Message, MessageStore, RetryPolicy, admin, retention
from mdb_sqla.admin import Operation, operations, record_operation


@pytest.fixture
def consumed(engine: Engine) -> Engine:
    """A store with a consumer that has two dead letters."""
    policy = RetryPolicy(max_attempts=1)
    consumer = Consumer("billing", "order", on_failure="dead_letter", retry_policy=policy)

    @consumer.on("T")
    def fail(message: Any, unit: Any) -> None:
        raise ZeroDivisionError

    with engine.begin() as connection:
        for number in (1, 2):
            MessageStore(connection).write(f"order-{number}", Message("T", number))
    consumer.catch_up(sessionmaker(engine))
    return engine


def recorded(engine: Engine) -> list[tuple[Any, ...]]:
    """The operations, oldest first, without their numbers, roles and times."""
    with engine.connect() as connection:
        return [tuple(each)[1:5] for each in reversed(operations(connection))]


def test_consumers(consumed: Engine) -> None:
    with consumed.begin() as connection:
        admin.pause_consumer(connection, "billing", by="alice")
        admin.reset_consumer(connection, "billing", 2, by="bob")
        admin.resume_consumer(connection, "billing", by="carol")
        admin.delete_consumer(connection, "billing", by="dave")

    assert recorded(consumed) == [
        ("pause_consumer", "billing", {}, "alice"),
        ("reset_consumer", "billing", {"start": 2}, "bob"),
        ("resume_consumer", "billing", {}, "carol"),
        ("delete_consumer", "billing", {}, "dave"),
    ]


def test_dead_letters(consumed: Engine) -> None:
    with consumed.begin() as connection:
        assert admin.replay(connection, "billing", "order-2", by="alice") == 1
        assert admin.replay(connection, "billing", by="bob") == 1
        assert admin.replay(connection, "billing", by="bob") == 0
        admin.skip(connection, "billing", 2, by="carol")

    skipped = {"global_position": 2, "stream_name": "order-2", "type": "T"}
    assert recorded(consumed) == [
        ("replay", "billing", {"stream_name": "order-2", "failed_messages": 1}, "alice"),
        ("replay", "billing", {"stream_name": None, "failed_messages": 1}, "bob"),
        ("skip", "billing", skipped, "carol"),
    ]


def test_policies(engine: Engine) -> None:
    with engine.begin() as connection:
        retention.set_policy(connection, "order", keep_age=timedelta(days=1), by="alice")
        assert retention.delete_policy(connection, "order", by="bob")
        assert not retention.delete_policy(connection, "order", by="bob")

    assert recorded(engine) == [
        ("set_policy", "order", {"keep": "for 1 d"}, "alice"),
        ("delete_policy", "order", {}, "bob"),
    ]


def test_options_of_the_store(engine: Engine) -> None:
    admin.set_lock_granularity(engine, "category", by="alice")
    admin.set_protection(engine, True, by="bob")
    admin.set_protection(engine, True, by="bob")
    admin.set_protection(engine, False, by="carol")
    with engine.begin() as connection:
        admin.clear(connection, by="dave")

    assert recorded(engine) == [
        ("set_lock_granularity", None, {"granularity": "category"}, "alice"),
        ("set_protection", None, {"protected": True}, "bob"),
        ("set_protection", None, {"protected": False}, "carol"),
        ("clear", None, {"reset_consumers": False}, "dave"),
    ]


def test_what_is_rolled_back_or_refused_is_not_recorded(consumed: Engine) -> None:
    with consumed.connect() as connection:
        admin.reset_consumer(connection, "billing")
        connection.rollback()
        with pytest.raises(InvalidArgument, match="no dead letter"):
            admin.skip(connection, "billing", 3)
        with pytest.raises(InvalidArgument, match="no consumer"):
            admin.delete_consumer(connection, "biling")
        connection.commit()

    assert recorded(consumed) == []


def test_an_applications_own(engine: Engine) -> None:
    details = {"version": 2, "names": ["ä", None], "share": 0.5}
    with Session(engine) as session:
        before = datetime.now(UTC) - timedelta(minutes=1)
        record_operation(session, "rebuild", "invoices", details=details, by="alice")
        record_operation(session, "rebuild")
        session.commit()
        user = session.scalar(select(func.session_user()))
        second, first = operations(session)

    assert first._replace(performed_at=before) == Operation(
        1, "rebuild", "invoices", details, "alice", str(user), before
    )
    assert second[1:6] == ("rebuild", None, {}, user, user)
    assert before < first.performed_at <= second.performed_at


def test_the_latest_come_first(connection: Connection) -> None:
    for number in range(4):
        record_operation(connection, "odd" if number % 2 else "even", f"s{number}")

    def found(**arguments: Any) -> list[str | None]:
        return [each.subject for each in operations(connection, **arguments)]

    assert found() == ["s3", "s2", "s1", "s0"]
    assert found(limit=2) == ["s3", "s2"]
    assert found(kind="even") == ["s2", "s0"]
    assert found(kind="even", limit=1) == ["s2"]
    assert found(subject="s1") == ["s1"]
    assert found(kind="even", subject="s1") == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"kind": ""}, "kind must be a non-empty string"),
        ({"kind": "a\0"}, "kind must be a non-empty string"),
        ({"kind": "a", "subject": ""}, "subject must be a non-empty string"),
        ({"kind": "a", "by": 7}, "by must be a non-empty string"),
        ({"kind": "a", "details": [1]}, "details must be a mapping"),
        ({"kind": "a", "details": {"at": datetime(2026, 1, 1)}}, "details must be a mapping"),
        ({"kind": "a", "details": {"n": float("nan")}}, "details must be a mapping"),
        ({"kind": "a", "details": {"n": "\0"}}, "details must be without NUL"),
        ({"kind": "a", "details": {"\ud800": 1}}, "details must be without NUL"),
    ],
)
def test_what_can_not_be_recorded(
    connection: Connection, arguments: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidArgument, match=why):
        record_operation(connection, **arguments)
    assert operations(connection) == []


@pytest.mark.parametrize("limit", [0, True, "1"])
def test_a_limit_that_is_invalid(connection: Connection, limit: Any) -> None:
    with pytest.raises(InvalidArgument, match="limit must be an integer of at least 1"):
        operations(connection, limit=limit)


def test_however_the_engine_writes_json(engine: Engine) -> None:
    def refuse(_: object) -> Any:
        raise AssertionError

    own = create_engine(engine.url, json_serializer=refuse, json_deserializer=refuse)
    with own.begin() as connection:
        record_operation(connection, "rebuild", details={"n": 1})
        assert operations(connection)[0].details == {"n": 1}
    own.dispose()


@pytest.fixture
def shop(consumed: Engine) -> Iterator[Engine]:
    """An engine of a role that may do everything with consumers, but not record it."""
    with consumed.begin() as connection:
        connection.execute(text("CREATE ROLE mdb_sqla_hand_made LOGIN"))
        connection.execute(text("GRANT USAGE ON SCHEMA message_store TO mdb_sqla_hand_made"))
        connection.execute(
            text(
                "GRANT SELECT, INSERT, UPDATE, DELETE ON message_store.consumer_slots, "
                "message_store.consumer_members, message_store.consumers, "
                "message_store.dead_letters TO mdb_sqla_hand_made"
            )
        )
        connection.execute(
            text("GRANT SELECT ON ALL SEQUENCES IN SCHEMA message_store TO mdb_sqla_hand_made")
        )
    engine = create_engine(consumed.url, execution_options={"message_store_wake_up": False})

    @event.listens_for(engine, "connect")
    def become(connection: Any, _: object) -> None:
        connection.execute("SET SESSION AUTHORIZATION mdb_sqla_hand_made")
        connection.commit()

    yield engine
    engine.dispose()
    with consumed.begin() as connection:
        connection.execute(text("DROP OWNED BY mdb_sqla_hand_made"))
        connection.execute(text("DROP ROLE mdb_sqla_hand_made"))


def test_a_role_that_may_not_record_it(
    shop: Engine, consumed: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """It may do what it may; that it is not recorded is logged."""
    with caplog.at_level(logging.WARNING), shop.begin() as connection:
        assert admin.pause_consumer(connection, "billing", by="alice")
        admin.reset_consumer(connection, "billing")

    assert recorded(consumed) == []
    assert caplog.messages == [
        "Not recorded: pause_consumer of billing by alice: role mdb_sqla_hand_made lacks INSERT "
        "on the table operations",
        "Not recorded: reset_consumer of billing by mdb_sqla_hand_made: role mdb_sqla_hand_made "
        "lacks INSERT on the table operations",
    ]
    with consumed.connect() as connection:
        (found,) = admin.consumers(connection)
    assert (found.paused_by, found.slots[0].position) == ("alice", 0)
    grant = "GRANT INSERT (kind, subject, details, performed_by) ON message_store.operations"
    with consumed.begin() as connection:
        connection.execute(text(f"{grant} TO mdb_sqla_hand_made"))

    with shop.begin() as connection:
        admin.resume_consumer(connection, "billing", by="alice")

    assert recorded(consumed) == [("resume_consumer", "billing", {}, "alice")]
