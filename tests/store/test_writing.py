from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import orjson
import pytest
from sqlalchemy import JSON, create_engine, func, select, text

from mdb_sqla import (
    NO_STREAM,
    DuplicateMessageId,
    InvalidArgument,
    InvalidMessage,
    InvalidStreamName,
    Message,
    MessageStore,
    SequenceBehind,
    TooManyLocks,
    TransactionConflict,
    WrongExpectedVersion,
    tables,
)
from mdb_sqla.database.sqlstates import is_outage, is_transient


def test_what_is_written_is_read_back(flavour: Any) -> None:
    message = Message("Opened", {"owner": "é", "amount": 1.5}, {"properties": {"a": [1, None]}})

    with flavour.session() as session:
        store = flavour.store(session)
        assert flavour.run(store.write("account-1", message)) == 0
        flavour.run(session.commit())
        (stored,) = flavour.run(store.read_stream("account-1"))

    assert stored.id == message.id
    assert stored.stream_name == "account-1"
    assert stored.type == "Opened"
    assert (stored.position, stored.global_position) == (0, 1)
    assert stored.data == {"owner": "é", "amount": 1.5}
    assert stored.metadata == {"properties": {"a": [1, None]}}
    assert abs(stored.time - datetime.now(UTC)) < timedelta(minutes=1)


def test_without_data_and_metadata_both_read_as_empty_objects(flavour: Any) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        flavour.run(store.write("account-1", Message("Opened")))
        flavour.run(store.write("account-1", [Message("Closed"), Message("Closed")]))
        stored = flavour.run(store.read_stream("account-1"))

    assert [(message.data, message.metadata) for message in stored] == [({}, {})] * 3


def test_it_works_on_a_connection(flavour: Any) -> None:
    with flavour.connection() as connection:
        store = flavour.store(connection)
        assert flavour.run(store.write("account-1", [Message("A"), Message("B")])) == 1
        flavour.run(connection.commit())

    with flavour.connection() as connection:
        assert flavour.run(flavour.store(connection).version("account-1")) == 1


def test_several_messages_are_written_in_order(flavour: Any) -> None:
    messages = [Message("T", {"n": n}) for n in range(50)]

    with flavour.session() as session:
        store = flavour.store(session)
        assert flavour.run(store.write("account-1", messages[:20])) == 19
        assert flavour.run(store.write("account-1", iter(messages[20:]), expected_version=19)) == 49
        stored = flavour.run(store.read_stream("account-1"))

    assert [message.data["n"] for message in stored] == list(range(50))
    assert [message.position for message in stored] == list(range(50))
    assert [message.id for message in stored] == [message.id for message in messages]


def test_nothing_is_written_on_rollback(flavour: Any) -> None:
    with flavour.session() as session:
        flavour.run(flavour.store(session).write("account-1", Message("Opened")))
        flavour.run(session.rollback())
        assert flavour.run(flavour.store(session).version("account-1")) == NO_STREAM


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("isolation_level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_a_wrong_expected_version_is_refused(
    flavour: Any, count: int, isolation_level: str
) -> None:
    messages = [Message("T") for _ in range(count)]
    with flavour.session() as session:
        flavour.run(flavour.store(session).write("account-1", [Message("A"), Message("B")]))
        flavour.run(session.commit())

    with flavour.connection(isolation_level=isolation_level) as connection:
        store = flavour.store(connection)
        with pytest.raises(WrongExpectedVersion) as error:
            flavour.run(store.write("account-1", messages, expected_version=0))
        assert error.value.stream_name == "account-1"
        assert error.value.expected_version == 0
        assert error.value.stream_version == 1
        assert str(error.value) == (
            "Wrong expected version: 0 (Stream: account-1, Stream Version: 1)"
        )
        assert error.value.__cause__ is not None
        flavour.run(connection.rollback())
        with pytest.raises(WrongExpectedVersion):
            flavour.run(store.write("account-1", messages, expected_version=NO_STREAM))
        flavour.run(connection.rollback())
        assert flavour.run(store.version("account-1")) == 1


def test_no_stream_means_that_there_is_none(flavour: Any) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        assert flavour.run(store.version("account-1")) == NO_STREAM
        position = flavour.run(store.write("account-1", Message("A"), expected_version=NO_STREAM))
        assert position == 0
        assert flavour.run(store.version("account-1")) == 0


@pytest.mark.parametrize("count", [1, 3])
def test_a_savepoint_contains_a_refusal(flavour: Any, count: int) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        flavour.run(store.write("account-1", Message("A")))
        savepoint = flavour.run(session.begin_nested())
        with pytest.raises(WrongExpectedVersion):
            flavour.run(store.write("account-1", [Message("B")] * count, expected_version=7))
        flavour.run(savepoint.rollback())
        flavour.run(store.write("account-1", Message("C"), expected_version=0))
        flavour.run(session.commit())
        stored = flavour.run(store.read_stream("account-1"))

    assert [message.type for message in stored] == ["A", "C"]


@pytest.mark.parametrize("count", [0, 2])
def test_a_repeated_id_is_refused(flavour: Any, count: int) -> None:
    message = Message("T")
    with flavour.session() as session:
        store = flavour.store(session)
        flavour.run(store.write("account-1", message))
        flavour.run(session.commit())
        messages = [*(Message("T") for _ in range(count)), message]
        with pytest.raises(DuplicateMessageId) as error:
            flavour.run(store.write("account-2", messages, idempotent=False))
        assert str(error.value.id) in str(error.value)
        flavour.run(session.rollback())
        assert flavour.run(store.version("account-2")) == NO_STREAM


def test_the_id_of_the_duplicate_is_named(flavour: Any) -> None:
    message = Message("T")
    with flavour.session() as session:
        store = flavour.store(session)
        messages = [message, Message("T"), message]
        with pytest.raises(DuplicateMessageId) as error:
            flavour.run(store.write("account-1", messages, idempotent=False))

    assert error.value.id == str(message.id)


BAD_JSON = [object, float("nan"), float("-inf"), "a\0b", {"k": "\ud800"}, {"k": {1, 2}}]


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("data", BAD_JSON, ids=repr)
def test_data_that_is_not_json_is_refused_whole(flavour: Any, data: Any, before: int) -> None:
    bad = Message("Bad", data)
    with flavour.session() as session:
        store = flavour.store(session)
        with pytest.raises(InvalidMessage) as error:
            flavour.run(store.write("account-1", [Message("T") for _ in range(before)] + [bad]))
        assert error.value.message is bad
        assert "data" in str(error.value)
        assert str(bad.id) in str(error.value)
        flavour.run(session.rollback())
        assert flavour.run(store.version("account-1")) == NO_STREAM


def test_nothing_is_half_written_where_the_serializer_fails(flavour: Any) -> None:
    """The transaction is sound then, and the application may well commit it."""
    with flavour.session() as session:
        store = flavour.store(session)
        flavour.run(store.write("account-1", Message("A")))
        with pytest.raises(InvalidMessage):
            flavour.run(store.write("account-1", [Message("B"), Message("C", object())]))
        flavour.run(session.commit())
        stored = flavour.run(store.read_stream("account-1"))

    assert [message.type for message in stored] == ["A"]


@pytest.mark.parametrize("name", ["", "-", "-1", None, 7, "a\0-1"])
def test_a_stream_name_must_be_one(flavour: Any, name: Any) -> None:
    with flavour.session() as session, pytest.raises(InvalidStreamName, match="Invalid stream"):
        flavour.run(flavour.store(session).write(name, Message("T")))


@pytest.mark.parametrize("messages", [[], (), "T", [None], [{"type": "T"}], 3])
def test_messages_must_be_messages(flavour: Any, messages: Any) -> None:
    with flavour.session() as session, pytest.raises(InvalidArgument):
        flavour.run(flavour.store(session).write("account-1", messages))


@pytest.mark.parametrize("expected_version", [-2, 2**63, 1.0, "1", False])
def test_an_expected_version_must_be_one(flavour: Any, expected_version: Any) -> None:
    with flavour.session() as session, pytest.raises(InvalidArgument, match="expected_version"):
        flavour.run(
            flavour.store(session).write(
                "account-1", Message("T"), expected_version=expected_version
            )
        )


@pytest.mark.parametrize("idempotent", [None, 0, "no"])
def test_idempotent_is_yes_or_no(flavour: Any, idempotent: Any) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        pairs = [("account-1", Message("T"))]
        for call, *arguments in (
            (store.write, "account-1", Message("T")),
            (store.write_messages, pairs),
            (store.load, pairs),
        ):
            with pytest.raises(InvalidArgument, match="idempotent must be True or False"):
                flavour.run(call(*arguments, idempotent=idempotent))


def test_a_store_needs_a_session_or_a_connection(flavour: Any) -> None:
    with pytest.raises(InvalidArgument, match="Engine"):
        flavour.store(flavour.engine)


def test_a_cursor_on_the_server_is_not_used(flavour: Any) -> None:
    """With a cursor on the server the function would run only as far as rows are fetched."""
    with flavour.connection(stream_results=True) as connection:
        store = flavour.store(connection)
        flavour.run(store.write("account-1", [Message("A"), Message("B")]))
        with pytest.raises(DuplicateMessageId):
            flavour.run(store.write("account-1", [Message("C")] * 2, idempotent=False))
        flavour.run(connection.rollback())


def test_json_null_is_no_null(flavour: Any) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        flavour.run(store.write("account-1", Message("A", JSON.NULL)))
        flavour.run(store.write("account-1", [Message("B", JSON.NULL), Message("C", [None])]))
        stored = flavour.run(
            session.scalars(select(func.jsonb_typeof(tables.messages.c.data)).order_by("position"))
        ).all()

    assert stored == ["null", "null", "array"]


def drop_what_is_false(value: Any) -> str:
    """A serializer as applications have them: zeros and empty strings go, keys are renamed."""

    def tidy(value: Any) -> Any:
        if isinstance(value, dict):
            return {key.upper(): tidy(item) for key, item in value.items() if item}
        return value

    return json.dumps(tidy(value))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    ("serializer", "stored"),
    [(drop_what_is_false, {"N": 1}), (lambda value: orjson.dumps(value), {"n": 1, "z": 0})],
)
def test_the_serializer_sees_data_and_nothing_else(
    database: Any, count: int, serializer: Any, stored: Any
) -> None:
    engine = create_engine(database, json_serializer=serializer, json_deserializer=orjson.loads)
    with engine.connect() as connection:
        store = MessageStore(connection)
        messages = [Message("T", {"n": 1, "z": 0}) for _ in range(count)]
        store.write("account-1", messages, expected_version=NO_STREAM)
        store.write("account-1", Message("T"))
        assert store.read_stream("account-1")[0].data == stored
        with pytest.raises(WrongExpectedVersion):
            store.write("account-1", [Message("T"), Message("T")], expected_version=0)
    engine.dispose()


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("expected_version", [None, NO_STREAM, 0])
def test_a_snapshot_that_is_too_old_asks_for_another_try(
    flavour: Any, count: int, isolation_level: str, expected_version: int | None
) -> None:
    with flavour.connection(isolation_level=isolation_level) as connection:
        store = flavour.store(connection)
        assert flavour.run(store.version("account-1")) == NO_STREAM
        with flavour.session() as other:
            flavour.run(flavour.store(other).write("account-1", Message("Other")))
            flavour.run(other.commit())
        messages = [Message("T") for _ in range(count)]
        with pytest.raises(TransactionConflict) as conflict:
            flavour.run(store.write("account-1", messages, expected_version=expected_version))

    assert conflict.value.sqlstate == "40001"


@pytest.mark.parametrize("count", [1, 2])
def test_a_sequence_that_is_behind_is_named(flavour: Any, count: int) -> None:
    """As where rows came by logical replication, which brings no sequence."""
    with flavour.session() as session:
        store = flavour.store(session)
        flavour.run(store.write("account-1", [Message("A"), Message("B")]))
        restart = "ALTER SEQUENCE message_store.messages_global_position_seq RESTART"
        flavour.run(session.execute(text(restart)))
        with pytest.raises(SequenceBehind, match=r"mdb verify .*messages_pkey"):
            flavour.run(store.write("account-2", [Message("C")] * count))


def test_more_categories_than_postgresql_can_lock(flavour: Any) -> None:
    pairs = [(f"category{number}-1", Message("T")) for number in range(60_000)]
    with flavour.session() as session:
        with pytest.raises(TooManyLocks, match=r"fewer categories.*max_locks_per_transaction") as e:
            flavour.run(flavour.store(session).write_messages(pairs))
        flavour.run(session.rollback())
    # A consumer waits for it, as others may need as many.
    assert is_outage(e.value)
    assert is_transient(e.value)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.TooManyConnectionsError("no more"),
        asyncpg.CannotConnectNowError("starting"),
        asyncpg.exceptions.TargetServerAttributeNotMatched("all are standbys"),
    ],
)
def test_errors_that_sqlalchemy_lets_through_pass_as_well(error: Exception) -> None:
    """SQLAlchemy 2.0 does, for those of asyncpg's while it connects."""
    assert is_transient(error)
    assert not is_transient(asyncpg.InvalidPasswordError("not that"))
