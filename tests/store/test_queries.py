"""Reads by query, and writes with append conditions, with each flavour of SQLAlchemy."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from mdb_sqla import (
    NO_STREAM,
    AppendConditionFailed,
    DuplicateMessageId,
    InvalidArgument,
    Message,
    Query,
    ReadNotExact,
    WrongExpectedVersion,
)
from mdb_sqla.store import function_writes
from mdb_sqla.store.copy_writes import COPY_THRESHOLD
from tests.conftest import Flavour

COURSE = Query(categories=["enrollment"], types=["Enrolled"], tags=["course:1"])
ANY = Query(categories=["enrollment", "invoice"])
MANY = [1, 2, COPY_THRESHOLD]


def enrolled(*tags: str) -> Message:
    return Message("Enrolled").with_tags(*tags)


def write(flavour: Flavour, stream_name: str, *tags: str, **arguments: Any) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        flavour.run(store.write(stream_name, enrolled(*tags), **arguments))
        flavour.run(session.commit())


def read(flavour: Flavour, query: Query, **arguments: Any) -> Any:
    with flavour.session() as session:
        return flavour.run(flavour.store(session).read(query, **arguments))


def test_result(flavour: Flavour) -> None:
    assert len(read(flavour, COURSE)) == 0
    assert read(flavour, COURSE).position == 0
    write(flavour, "enrollment-1", "course:1")
    write(flavour, "enrollment-2", "course:2")

    result = read(flavour, COURSE)

    assert [message.stream_name for message in result] == ["enrollment-1"]
    assert result[0].metadata == {"tags": ["course:1"]}
    assert (result.query, result.position) == (COURSE, 2)
    # Of messages after a position.
    later = read(flavour, ANY, position=2)
    assert ([message.stream_name for message in later], later.position) == (["enrollment-2"], 2)


def test_result_is_complete_up_to_the_start(flavour: Flavour) -> None:
    """A reader that starts there has seen everything before."""
    write(flavour, "enrollment-1", "course:1")

    result = read(flavour, COURSE, position=8)

    assert ([*result], result.position) == ([], 7)


@pytest.mark.parametrize("position", [-1, "1", None, 1.5])
def test_invalid_position(flavour: Flavour, position: Any) -> None:
    with pytest.raises(InvalidArgument, match="position must be an integer"):
        read(flavour, COURSE, position=position)


@pytest.mark.parametrize("query", ["enrollment", None, {"categories": ["enrollment"]}])
def test_no_query(flavour: Flavour, query: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"query must be an instance of mdb_sqla\.Query"):
        read(flavour, query)


def test_classes_need_message_types(flavour: Flavour) -> None:
    query = Query(categories=["enrollment"], types=[Message])

    with pytest.raises(InvalidArgument, match="as a message type: pass its name, or pass types="):
        read(flavour, query)
    with pytest.raises(InvalidArgument, match="as a message type: pass its name, or pass types="):
        write(flavour, "enrollment-1", unless=query.after(0))


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_old_snapshots(flavour: Flavour, level: str) -> None:
    with flavour.connection(isolation_level=level) as connection:
        with pytest.raises(ReadNotExact, match=level.lower()):
            flavour.run(flavour.store(connection).read(COURSE))
        flavour.run(connection.rollback())
        for number in MANY:
            messages = [(f"enrollment-{each}", enrolled()) for each in range(number)]
            store = flavour.store(connection)
            with pytest.raises(ReadNotExact, match=f"Isolation Level: {level.lower()}"):
                flavour.run(store.write_messages(messages, unless=COURSE.after(0)))
            flavour.run(connection.rollback())


def test_autocommit(flavour: Flavour) -> None:
    with flavour.connection(isolation_level="AUTOCOMMIT") as connection:
        store = flavour.store(connection)
        result = flavour.run(store.read(COURSE))
        unless = COURSE.after(result)
        flavour.run(store.write("enrollment-1", enrolled("course:1"), unless=unless))
        with pytest.raises(AppendConditionFailed):
            flavour.run(store.write("enrollment-2", enrolled("course:1"), unless=unless))


@pytest.mark.parametrize("number", MANY)
def test_condition(flavour: Flavour, number: int) -> None:
    seen = read(flavour, COURSE)
    messages = [(f"enrollment-{each}", enrolled("course:1")) for each in range(number)]
    with flavour.session() as session:
        store = flavour.store(session)
        positions = flavour.run(store.write_messages(messages, unless=COURSE.after(seen)))
        flavour.run(session.commit())
    assert [each.position for each in positions] == [0] * number

    with flavour.session() as session:
        store = flavour.store(session)
        others = [(f"order-{each}", enrolled()) for each in range(number)]
        with pytest.raises(AppendConditionFailed) as caught:
            flavour.run(store.write_messages(others, unless=[ANY.after(number), COURSE.after(0)]))
        assert caught.value.global_position == positions[0].global_position
        assert caught.value.after == 0
        assert "(Global Position: " in str(caught.value)
        flavour.run(session.rollback())
        assert flavour.run(store.version("order-0")) == NO_STREAM


@pytest.mark.parametrize("number", MANY)
def test_repeats_ignore_conditions(flavour: Flavour, number: int) -> None:
    messages = [(f"enrollment-{each}", enrolled("course:1")) for each in range(number)]
    stored = []
    for _ in range(2):
        with flavour.session() as session:
            store = flavour.store(session)
            stored.append(flavour.run(store.write_messages(messages, unless=COURSE.after(0))))
            flavour.run(session.commit())
    assert stored[0] == stored[1]

    with flavour.session() as session:
        store = flavour.store(session)
        with pytest.raises(AppendConditionFailed):
            flavour.run(store.write_messages(messages, unless=COURSE.after(0), idempotent=False))
        flavour.run(session.rollback())
        last = stored[0][-1].global_position
        with pytest.raises(DuplicateMessageId):
            flavour.run(store.write_messages(messages, unless=COURSE.after(last), idempotent=False))


@pytest.mark.parametrize("number", MANY)
def test_expected_versions_too(flavour: Flavour, number: int) -> None:
    messages = [(f"enrollment-{each}", enrolled("course:1")) for each in range(number)]
    for versions in ({"enrollment-0": 0}, {"other-1": 0}):
        with flavour.session() as session, pytest.raises(WrongExpectedVersion):
            flavour.run(
                flavour.store(session).write_messages(
                    messages, expected_versions=versions, unless=COURSE.after(0)
                )
            )
    with flavour.session() as session:
        versions = {"enrollment-0": NO_STREAM, "other-1": NO_STREAM}
        store = flavour.store(session)
        written = flavour.run(
            store.write_messages(messages, expected_versions=versions, unless=COURSE.after(0))
        )
        assert len(written) == number


def test_copy_is_used(flavour: Flavour) -> None:
    sent: list[str] = []
    event.listen(flavour.sync_engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    messages = [("enrollment-1", enrolled("course:1")) for _ in range(COPY_THRESHOLD)]
    with flavour.session() as session:
        store = flavour.store(session)
        flavour.run(store.write_messages(messages, unless=COURSE.after(0)))

    assert "RELEASE SAVEPOINT mdb_sqla_copy" in sent


def test_only_a_condition(flavour: Flavour) -> None:
    write(flavour, "enrollment-1", "course:1")
    with flavour.session() as session:
        store = flavour.store(session)
        assert flavour.run(store.write_messages([], unless=COURSE.after(1))) == []
        with pytest.raises(AppendConditionFailed):
            flavour.run(store.write_messages([], unless=COURSE.after(0)))


def test_several_calls(flavour: Flavour, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that are too long for one call: the first one locks, and checks the conditions."""
    monkeypatch.setattr(function_writes, "MAX_CALL_LENGTH", 1_000)
    messages = [
        (f"enrollment-{each}", Message("Enrolled", "x" * 400).with_tags("course:1"))
        for each in range(5)
    ]
    for _ in range(2):
        # The second time, all of them are stored already.
        with flavour.session() as session:
            store = flavour.store(session)
            written = flavour.run(store.write_messages(messages, unless=COURSE.after(0)))
            assert [each.position for each in written] == [0] * 5
            flavour.run(session.commit())

    more = [*messages, ("enrollment-6", Message("Enrolled", "x" * 400))]
    with flavour.session() as session, pytest.raises(AppendConditionFailed):
        flavour.run(flavour.store(session).write_messages(more, unless=COURSE.after(0)))
    others = [(f"order-{each}", Message("Placed", "x" * 400)) for each in range(5)]
    with flavour.session() as session, pytest.raises(AppendConditionFailed):
        flavour.run(flavour.store(session).write_messages(others, unless=COURSE.after(0)))


def test_tags(flavour: Flavour) -> None:
    tagged = enrolled("course:2")
    with flavour.session() as session:
        store = flavour.store(session)
        flavour.run(store.write("enrollment-1", [tagged, Message("Noted")], tags=["course:1"]))
        first, second = flavour.run(store.read_stream("enrollment-1"))

    assert first.metadata == {"tags": ["course:2", "course:1"]}
    assert second.metadata == {"tags": ["course:1"]}


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        ({"tags": "course:1"}, r"tags must be a list of strings, got 'course:1' \(str\)"),
        ({"tags": [""]}, "a tag must be a non-empty string"),
        ({"tags": [7]}, r"a tag must be a non-empty string.*got 7 \(int\)"),
        ({"tags": 7}, r"tags must be a list of strings, got 7 \(int\)"),
        ({"unless": COURSE}, r"unless must be an append condition, such as query.after\(result\)"),
        ({"unless": [COURSE]}, r"unless must be an append condition.*got Query\("),
        ({"unless": 7}, r"unless must be an append condition.*got 7 \(int\)"),
    ],
)
def test_invalid_arguments(flavour: Flavour, arguments: dict[str, Any], refusal: str) -> None:
    sent: list[str] = []
    event.listen(flavour.sync_engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    with flavour.session() as session:
        store = flavour.store(session)
        with pytest.raises(InvalidArgument, match=refusal):
            flavour.run(store.write("enrollment-1", Message("Enrolled"), **arguments))
        if "unless" in arguments:
            pair = ("enrollment-1", Message("Enrolled"))
            with pytest.raises(InvalidArgument, match=refusal):
                flavour.run(store.write_messages([pair], **arguments))

    assert not [each for each in sent if "message_store" in each]


def test_condition_ahead_of_the_store(flavour: Flavour) -> None:
    """It was read in another store, or in one that has been restored since."""
    with pytest.raises(AppendConditionFailed, match="has not reached the position") as caught:
        write(flavour, "enrollment-1", unless=COURSE.after(1_000))
    assert (caught.value.global_position, caught.value.after) == (None, 1_000)
