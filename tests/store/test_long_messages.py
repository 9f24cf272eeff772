"""Messages that are long, alone or together, and names that are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import URL, Connection, create_engine, event, select, text

from mdb_sqla import (
    NO_STREAM,
    DuplicateMessageId,
    InvalidArgument,
    InvalidMessage,
    Message,
    MessageStore,
    WrongExpectedVersion,
    tables,
    write_on_commit,
)
from mdb_sqla.store import bulk_load, copy_writes, function_writes, message_limits, writes

LONG = "x" * 600


@pytest.fixture(autouse=True)
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too long for one call is short enough for a test."""
    for module in (function_writes, writes, bulk_load, message_limits):
        monkeypatch.setattr(module, "MAX_CALL_LENGTH", 2_000)


@pytest.fixture
def copies(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not request.param:
        monkeypatch.setattr(copy_writes, "_COPY", {})
    return bool(request.param)


any_way = pytest.mark.parametrize("copies", [False, True], ids=["function", "copy"], indirect=True)
by_function = pytest.mark.parametrize("copies", [False], ids=["function"], indirect=True)


@contextmanager
def statements(flavour: Any) -> Iterator[list[str]]:
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(flavour.sync_engine, "before_cursor_execute", note)
    yield sent
    event.remove(flavour.sync_engine, "before_cursor_execute", note)


def number_of_calls(sent: list[str]) -> int:
    return sum("write_messages" in statement for statement in sent)


def stored(flavour: Any) -> list[tuple[str, int]]:
    statement = select(tables.messages.c.stream_name, tables.messages.c.position).order_by(
        tables.messages.c.global_position
    )
    with flavour.connection() as connection:
        return [tuple(row) for row in flavour.run(connection.execute(statement))]


def long_pairs(*stream_names: str) -> list[tuple[str, Message]]:
    return [(stream_name, Message("T", LONG)) for stream_name in stream_names]


NAMES = ["c-1", "a-1", "b-1", "a-1", "a-1", "b-1", "d-1"]


@pytest.mark.parametrize(
    "json", ["[1,1,1,1]", "[[[[[]]]]]", '["","","",""]', "[{},{},{},{}]", '["aaaa"]']
)
def test_what_shares_a_call_fits_into_jsonb(
    connection: Connection, json: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    many = "[" + ",".join([json] * 1_000) + "]"

    size = connection.scalar(text("SELECT pg_column_size(CAST(:json AS jsonb))"), {"json": many})

    assert size is not None
    assert size / len(many) * message_limits.MAX_CALL_LENGTH < 2**28


@any_way
def test_more_than_one_call_takes_is_written_in_order(flavour: Any, copies: bool) -> None:
    with flavour.session() as session, statements(flavour) as sent:
        store = flavour.store(session)
        positions = flavour.run(
            store.write_messages(long_pairs(*NAMES), expected_versions={"a-1": NO_STREAM})
        )
        flavour.run(session.commit())

    assert [position.position for position in positions] == [0, 0, 0, 1, 2, 1, 0]
    assert stored(flavour) == list(zip(NAMES, [p.position for p in positions], strict=True))
    # One that locks, and two messages in each of the others.
    assert number_of_calls(sent) == (0 if copies else 1 + 4)


@by_function
def test_all_streams_are_locked_before_anything_is_written(flavour: Any, copies: bool) -> None:
    with flavour.connection() as other, flavour.session() as session:
        flavour.run(flavour.store(other).write("d-1", Message("T")))
        flavour.run(session.execute(text("SET LOCAL lock_timeout = '20ms'")))
        with statements(flavour) as sent, pytest.raises(Exception, match="lock timeout"):
            flavour.run(flavour.store(session).write_messages(long_pairs(*NAMES)))

    assert number_of_calls(sent) == 1


@any_way
@pytest.mark.parametrize("wrong", ["a-1", "d-1", "e-1"])
def test_one_wrong_version_and_nothing_is_written(flavour: Any, copies: bool, wrong: str) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        with pytest.raises(WrongExpectedVersion) as error:
            flavour.run(store.write_messages(long_pairs(*NAMES), expected_versions={wrong: 5}))
        flavour.run(session.commit())

    assert (error.value.stream_name, error.value.stream_version) == (wrong, NO_STREAM)
    assert stored(flavour) == []


@any_way
def test_what_is_stored_already_is_not_written_again(flavour: Any, copies: bool) -> None:
    pairs = long_pairs(*NAMES)
    expected = {"a-1": NO_STREAM, "d-1": NO_STREAM}
    with flavour.session() as session:
        store = flavour.store(session)
        first = flavour.run(store.write_messages(pairs, expected_versions=expected))
        again = flavour.run(store.write_messages(pairs, expected_versions=expected))
        flavour.run(session.commit())

    assert again == first
    assert len(stored(flavour)) == len(NAMES)


@any_way
def test_a_wrong_version_counts_where_only_the_first_are_stored(flavour: Any, copies: bool) -> None:
    pairs = long_pairs(*NAMES)
    with flavour.session() as session:
        store = flavour.store(session)
        flavour.run(store.write_messages(pairs[:5]))
        flavour.run(session.commit())
        with pytest.raises(WrongExpectedVersion):
            flavour.run(store.write_messages(pairs, expected_versions={"a-1": NO_STREAM}))
        flavour.run(session.commit())

    assert len(stored(flavour)) == 5


@any_way
def test_the_last_is_refused_and_nothing_is_written(flavour: Any, copies: bool) -> None:
    taken = Message("T", LONG)
    with flavour.session() as session:
        store = flavour.store(session)
        flavour.run(store.write("other-1", taken))
        flavour.run(session.commit())
        with pytest.raises(DuplicateMessageId):
            flavour.run(store.write_messages([*long_pairs(*NAMES), ("d-1", taken)]))
        # Of a transaction that failed there is nothing to commit.
        flavour.run(session.commit())

    assert stored(flavour) == [("other-1", 0)]


@by_function
def test_interrupted_between_two_calls_and_nothing_is_written(flavour: Any, copies: bool) -> None:
    calls: list[str] = []

    def interrupt(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        calls.append(statement)
        if number_of_calls(calls) == 3:
            raise MemoryError

    with flavour.session() as session:
        event.listen(flavour.sync_engine, "before_cursor_execute", interrupt)
        with pytest.raises(MemoryError):
            flavour.run(flavour.store(session).write_messages(long_pairs(*NAMES)))
        event.remove(flavour.sync_engine, "before_cursor_execute", interrupt)
        with pytest.raises(Exception, match="invalid"):
            flavour.run(session.commit())
        flavour.run(session.rollback())

    assert stored(flavour) == []


def test_several_calls_need_a_transaction(flavour: Any) -> None:
    with flavour.connection(isolation_level="AUTOCOMMIT") as connection:
        store = flavour.store(connection)
        flavour.run(store.write_messages(long_pairs("a-1", "a-1")))
        with pytest.raises(InvalidArgument, match=r"7 messages .* transaction"):
            flavour.run(store.write_messages(long_pairs(*NAMES)))

    assert len(stored(flavour)) == 2


def test_load_holds_no_more_than_a_call_takes(flavour: Any) -> None:
    written: list[int] = []
    with flavour.session() as session:
        flavour.run(flavour.store(session).load(long_pairs(*NAMES), progress=written.append))

    assert written == [3, 6, 7]


def test_long_messages_are_copied_in_short_chunks(connection: Connection) -> None:
    rows = [("a-1", Message("T"), "1" * 1_000_000, None) for _ in range(3)]
    positions = copy_writes._positions(rows, {"a-1": -1}, [1, 2, 3])

    taken: list[Any] = []
    chunks = copy_writes._chunks(rows, (taken.append(each) or each for each in positions))  # type: ignore[arg-type, func-returns-value]
    first = next(chunks)
    assert len(taken) == 1

    rest = list(chunks)
    assert max(map(len, [first, *rest])) <= 128 * 1024
    assert b"".join([first, *rest]).count(b"\n") == 3


@pytest.mark.parametrize("text", ["x" * 500, "ü" * 251])
def test_a_message_that_can_not_be_sent(
    connection: Connection, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_limits, "_MAX_MESSAGE_LENGTH", 500)
    engine = create_engine(connection.engine.url, json_serializer=lambda value: f'"{value}"')
    message = Message("T", text)

    with engine.connect() as own:
        MessageStore(own).write("a-1", Message("T", "x" * 498))
        with pytest.raises(
            InvalidMessage, match=r"50[24] bytes, more than PostgreSQL's maximum of 500"
        ) as error:
            MessageStore(own).write("a-1", [Message("T"), message])
        # Nothing was sent.
        assert MessageStore(own).version("a-1") == 0
    engine.dispose()

    assert error.value.message is message


def test_a_message_that_can_not_be_sent_is_not_held_back_either(
    monkeypatch: pytest.MonkeyPatch, connection: Connection
) -> None:
    from sqlalchemy.orm import Session

    monkeypatch.setattr(message_limits, "_MAX_MESSAGE_LENGTH", 500)
    with Session(connection) as session, pytest.raises(InvalidMessage):
        write_on_commit(session, "a-1", Message("T", "x" * 500))


@any_way
@pytest.mark.parametrize("number", [1, 4])
def test_json_that_postgresql_has_no_room_for(flavour: Any, copies: bool, number: int) -> None:
    # A limit that is quicker to reach than that of 256 MiB.
    nested = "[" * 50_000 + "]" * 50_000
    dialect = flavour.sync_engine.dialect
    dialect._json_serializer = lambda value: value
    messages = [Message("T", '"short"') for _ in range(number - 1)] + [Message("T", nested)]
    with flavour.session() as session:
        with pytest.raises(
            InvalidMessage, match=r"JSON of 100,\d+ characters: stack depth"
        ) as error:
            flavour.run(flavour.store(session).write("a-1", messages))
        flavour.run(session.commit())

    assert error.value.message is messages[-1]
    assert stored(flavour) == []


def letters(number: int) -> str:
    # Chinese characters, which PostgreSQL can't compress.
    return "".join(map(chr, random.Random(1).choices(range(0x4E00, 0x9FFF), k=number)))


@any_way
@pytest.mark.parametrize(
    ("stream_name", "correlation"),
    [
        (f"a-{letters(3_000)}", None),
        (f"{letters(901)}-1", None),
        ("a-1", letters(1_000)),
        (f"{letters(500)}-1", letters(500)),
        (f"a-{'a' * 3_000}{letters(1_000)}", "a" * 1_000),
    ],
    ids=["stream", "category", "correlation", "both", "partly"],
)
def test_names_that_an_index_has_no_room_for(
    flavour: Any, copies: bool, stream_name: str, correlation: str | None
) -> None:
    metadata = None if correlation is None else {"correlationStreamName": correlation}
    message = Message("T", LONG, metadata)
    pairs = [*long_pairs("a" * 5_000, "b-1", "c-1"), (stream_name, message), *long_pairs("d-1")]
    with flavour.session() as session:
        with pytest.raises(
            InvalidMessage, match=r"too long for .* [\d,]+ bytes; the maximum is 2,704"
        ) as error:
            flavour.run(flavour.store(session).write_messages(pairs))
        flavour.run(session.commit())

    assert error.value.message is message
    assert stored(flavour) == []


@any_way
def test_a_long_name_that_can_be_compressed_is_stored(flavour: Any, copies: bool) -> None:
    name = "a-" + "123456789 " * 1_000
    with flavour.session() as session:
        flavour.run(flavour.store(session).write_messages(long_pairs(*[name] * 5)))
        flavour.run(session.commit())

    assert stored(flavour) == [(name, position) for position in range(5)]


def test_more_elements_than_there_is_memory_for(clean_database: URL) -> None:
    engine = create_engine(clean_database, json_serializer=lambda value: value)
    messages = [Message("T", "[1]"), Message("T", f"[{'1,' * 2**24}1]")]
    with engine.connect() as own, pytest.raises(InvalidMessage, match="memory alloc") as error:
        MessageStore(own).write("a-1", messages)
    engine.dispose()

    assert error.value.message is messages[1]
