"""What is written as a whole or not at all: wrong versions, repeats, old snapshots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import URL, select, text

from mdb_sqla import (
    NO_STREAM,
    DuplicateMessageId,
    InvalidArgument,
    InvalidMessage,
    InvalidStreamName,
    Message,
    TransactionConflict,
    WrongExpectedVersion,
    tables,
)
from tests.store.batches.conftest import stored


@pytest.mark.parametrize("wrong", ["a-1", "b-1", "c-1"])
@pytest.mark.parametrize("number", [0, 2])
def test_one_wrong_version_and_nothing_is_written(
    flavour: Any, store: Any, session: Any, wrong: str, number: int
) -> None:
    expected = {"a-1": NO_STREAM, "b-1": NO_STREAM, "c-1": NO_STREAM} | {wrong: 5}
    pairs = [("a-1", Message("T")), ("b-1", Message("T"))][:number]

    with pytest.raises(WrongExpectedVersion) as error:
        flavour.run(store.write_messages(pairs, expected_versions=expected))

    assert error.value.stream_name == wrong
    assert error.value.expected_version == 5
    assert error.value.stream_version == NO_STREAM
    flavour.run(session.rollback())
    assert stored(flavour, session) == []


def test_repeats_are_recognised(flavour: Any, store: Any, session: Any) -> None:
    pairs = [("a-1", Message("A", {"n": 1})), ("b-1", Message("B"))]
    new = ("a-1", Message("C"))
    first = flavour.run(store.write_messages(pairs, expected_versions={"a-1": NO_STREAM}))

    again = flavour.run(store.write_messages(pairs, expected_versions={"a-1": NO_STREAM}))
    mixed = flavour.run(store.write_messages([pairs[1], new, new, pairs[0]]))

    assert again == first
    assert mixed == [first[1], mixed[1], mixed[1], first[0]]
    assert mixed[1].position == 1
    assert [row[2] for row in stored(flavour, session)] == ["A", "B", "C"]
    with pytest.raises(WrongExpectedVersion):
        flavour.run(
            store.write_messages(
                [*pairs, ("a-1", Message("D"))], expected_versions={"a-1": NO_STREAM}
            )
        )


@pytest.mark.parametrize(
    "other",
    [
        ("a-2", {"type": "A", "data": {"n": 1}}),
        ("a-1", {"type": "B", "data": {"n": 1}}),
        ("a-1", {"type": "A", "data": {"n": 2}}),
        ("a-1", {"type": "A"}),
        ("a-1", {"type": "A", "data": {"n": 1}, "metadata": {}}),
    ],
)
@pytest.mark.parametrize("within_one_batch", [False, True])
def test_the_same_id_with_other_content_is_refused(
    flavour: Any, store: Any, session: Any, other: tuple[str, Any], within_one_batch: bool
) -> None:
    known = ("a-1", Message("A", {"n": 1}))
    stream_name, content = other
    batch = [("b-1", Message("T")), (stream_name, Message(**content, id=known[1].id))]
    if within_one_batch:
        batch.insert(0, known)
    else:
        flavour.run(store.write_messages([known]))
        flavour.run(session.commit())

    with pytest.raises(DuplicateMessageId) as error:
        flavour.run(store.write_messages(batch))

    assert error.value.id == str(known[1].id)
    assert str(known[1].id) in str(error.value)
    flavour.run(session.rollback())
    assert len(stored(flavour, session)) == (0 if within_one_batch else 1)


def test_the_switch_makes_any_repeat_an_error(flavour: Any, store: Any, session: Any) -> None:
    message = Message("A")
    flavour.run(store.write("a-1", message, idempotent=False))
    flavour.run(session.commit())

    calls: list[Callable[[], Any]] = [
        lambda: store.write("a-1", message, idempotent=False),
        lambda: store.write_messages([("a-1", message)], idempotent=False),
        lambda: store.load([("a-1", message)], idempotent=False),
    ]
    for call in calls:
        with pytest.raises(DuplicateMessageId) as error:
            flavour.run(call())
        assert error.value.id == str(message.id)
        flavour.run(session.rollback())


@pytest.mark.parametrize("data", [float("nan"), "a\0b", {"k": "\ud800"}], ids=repr)
def test_json_that_is_none_is_told(
    flavour: Any, store: Any, session: Any, data: Any, copies: bool
) -> None:
    bad = Message("Bad", data)

    with pytest.raises(InvalidMessage) as error:
        flavour.run(store.write("a-1", [Message("Good"), bad]))

    assert error.value.message is bad
    flavour.run(session.rollback())
    assert stored(flavour, session) == []


@pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_old_snapshot_is_a_conflict(flavour: Any, copies: bool, isolation_level: str) -> None:
    with (
        flavour.connection(isolation_level=isolation_level) as late,
        flavour.connection() as early,
    ):
        flavour.run(late.execute(select(tables.messages)))
        flavour.run(flavour.store(early).write("a-1", Message("First")))
        flavour.run(early.commit())

        with pytest.raises(TransactionConflict):
            flavour.run(flavour.store(late).write("a-1", [Message("A"), Message("B")]))

        flavour.run(late.rollback())
        assert flavour.run(flavour.store(late).write("a-1", [Message("A"), Message("B")])) == 2


@pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("expected", ["a-1", "b-1"])
def test_an_old_snapshot_expects_nothing(
    flavour: Any, copies: bool, isolation_level: str, expected: str
) -> None:
    with (
        flavour.connection(isolation_level=isolation_level) as late,
        flavour.connection() as early,
    ):
        flavour.run(late.execute(select(tables.messages)))
        flavour.run(flavour.store(early).write(expected, Message("First")))
        flavour.run(early.commit())

        with pytest.raises(TransactionConflict):
            flavour.run(
                flavour.store(late).write_messages(
                    [("a-1", Message("A"))], expected_versions={expected: NO_STREAM}
                )
            )


@pytest.mark.parametrize("pair", ["a-1", Message("T"), ("a-1",), ("a-1", "T"), ["a-1", 1], None])
def test_what_is_no_pair_is_refused(flavour: Any, store: Any, session: Any, pair: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"pairs|message must be an instance of"):
        flavour.run(store.write_messages([("a-1", Message("T")), pair]))

    assert stored(flavour, session) == []


@pytest.mark.parametrize("arguments", [(None,), (1,), ([], [("a-1", -1)]), ([], "a-1")])
def test_what_is_no_batch_is_refused(flavour: Any, store: Any, arguments: Any) -> None:
    pairs, *versions = arguments
    with pytest.raises(InvalidArgument) as error:
        flavour.run(
            store.write_messages(pairs, expected_versions=versions[0] if versions else None)
        )

    assert repr(versions[0] if versions else pairs) in str(error.value)


def test_an_id_that_row_level_security_hides_is_a_duplicate(
    flavour: Any, store: Any, session: Any, empty_database: URL
) -> None:
    """No retry would cure it."""
    hidden = Message("A")
    flavour.run(store.write("hidden-1", hidden))
    role = f"restricted_{empty_database.database}"
    for statement in (
        f"CREATE ROLE {role}",
        f"GRANT USAGE ON SCHEMA message_store TO {role}",
        f"GRANT SELECT, INSERT ON message_store.messages, message_store.stream_heads TO {role}",
        f"GRANT USAGE, SELECT ON SEQUENCE message_store.messages_global_position_seq TO {role}",
        "ALTER TABLE message_store.messages ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY visible ON message_store.messages USING (stream_name !~ 'hidden')",
        f"SET LOCAL ROLE {role}",
    ):
        flavour.run(session.execute(text(statement)))

    assert flavour.run(store.write("a-1", [Message("A"), Message("B")])) == 1
    with pytest.raises(DuplicateMessageId):
        flavour.run(store.write("a-1", Message("A", id=hidden.id)))
    flavour.run(session.rollback())


def test_names_and_versions_are_checked(flavour: Any, store: Any) -> None:
    with pytest.raises(InvalidStreamName, match="category"):
        flavour.run(store.write_messages([("-1", Message("T"))]))
    with pytest.raises(InvalidStreamName):
        flavour.run(store.write_messages([], expected_versions={"": 1}))
    with pytest.raises(InvalidArgument, match=r"expected_version.*-2"):
        flavour.run(store.write_messages([], expected_versions={"a-1": -2}))
