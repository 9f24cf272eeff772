"""Many messages to any streams: by one call of a function, or, from some number on, by COPY."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import URL, NullPool, create_engine, event, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from mdb_sqla import (
    NO_STREAM,
    AsyncMessageStore,
    DuplicateMessageId,
    InvalidArgument,
    InvalidMessage,
    InvalidStreamName,
    Message,
    MessagePosition,
    MessageStore,
    TransactionConflict,
    WrongExpectedVersion,
    migrations,
    tables,
)
from mdb_sqla.admin.store_summary import summary
from mdb_sqla.database.execution import qualified
from mdb_sqla.store import copy_writes, writes
from mdb_sqla.wake_up.channel import channel_of

SPECIAL = 'tab\t line\n return\r back\\slash \\N \\. quote" ünï 😀'


@pytest.fixture(params=[False, True], ids=["function", "copy"])
def copies(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether messages are copied, however few they are."""
    monkeypatch.setattr(writes, "LEAST_TO_COPY", 1 if request.param else 10**9)
    return bool(request.param)


@pytest.fixture
def store(flavour: Any, copies: bool) -> Iterator[Any]:
    with flavour.session() as session:
        yield flavour.store(session)


@pytest.fixture
def session(store: Any) -> Any:
    return store._db


@contextmanager
def statements(flavour: Any) -> Iterator[list[str]]:
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(flavour.sync_engine, "before_cursor_execute", note)
    yield sent
    event.remove(flavour.sync_engine, "before_cursor_execute", note)


def stored(flavour: Any, session: Any) -> list[tuple[Any, ...]]:
    m = tables.messages.c
    rows = flavour.run(
        session.execute(
            select(m.stream_name, m.position, m.type, m.data, m.metadata).order_by(
                m.global_position
            )
        )
    )
    return [tuple(row) for row in rows]


def test_are_written_in_their_order(flavour: Any, store: Any, session: Any) -> None:
    flavour.run(store.write("a-1", Message("Before")))

    positions = flavour.run(
        store.write_messages(
            [
                ("b-1", Message("First", {"n": [1, None]})),
                ("a-1", Message("Second", "text", {"properties": {}})),
                ("b-1", Message("Third")),
                ("a", Message("Fourth", 4)),
            ]
        )
    )

    first = positions[0].global_position
    assert positions == [
        MessagePosition(0, first),
        MessagePosition(1, first + 1),
        MessagePosition(1, first + 2),
        MessagePosition(0, first + 3),
    ]
    assert stored(flavour, session)[1:] == [
        ("b-1", 0, "First", {"n": [1, None]}, None),
        ("a-1", 1, "Second", "text", {"properties": {}}),
        ("b-1", 1, "Third", None, None),
        ("a", 0, "Fourth", 4, None),
    ]


def test_any_text_is_stored_as_it_is(flavour: Any, store: Any, session: Any) -> None:
    message = Message(SPECIAL, {SPECIAL: SPECIAL}, {SPECIAL: SPECIAL})
    flavour.run(store.write_messages([(f"a-{SPECIAL}", message)]))

    assert stored(flavour, session) == [
        (f"a-{SPECIAL}", 0, SPECIAL, {SPECIAL: SPECIAL}, {SPECIAL: SPECIAL})
    ]


def test_copying_is_used_where_there_are_many(flavour: Any, copies: bool, store: Any) -> None:
    with statements(flavour) as sent:
        flavour.run(store.write("a-1", [Message("T"), Message("T")]))

    kinds = ["prepare_copy", "SAVEPOINT", "RELEASE"] if copies else ["write_messages"]
    assert [kind in statement for kind, statement in zip(kinds, sent, strict=True)] == [
        True for _ in kinds
    ]


def test_nothing_is_nothing(flavour: Any, store: Any) -> None:
    with statements(flavour) as sent:
        assert flavour.run(store.write_messages([])) == []

    assert sent == []


@pytest.mark.parametrize("expected", [{"a-1": 0}, {"a-1": 0, "b-1": NO_STREAM, "c-1": 0}])
def test_with_expected_versions(flavour: Any, store: Any, expected: dict[str, int]) -> None:
    for name in ("a-1", "c-1"):
        flavour.run(store.write(name, Message("Before")))

    positions = flavour.run(
        store.write_messages(
            [("a-1", Message("T")), ("b-1", Message("T"))], expected_versions=expected
        )
    )

    assert [position.position for position in positions] == [1, 0]


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


def test_a_stream_that_is_only_expected_is_locked(flavour: Any, store: Any, session: Any) -> None:
    flavour.run(store.write_messages([], expected_versions={"a-1": NO_STREAM}))

    with flavour.connection() as connection:
        flavour.run(connection.execute(text("SET lock_timeout = '50ms'")))
        with pytest.raises(Exception, match="lock timeout"):
            flavour.run(flavour.store(connection).write("a-1", Message("T")))


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


def test_an_autocommit_connection_never_copies(flavour: Any, copies: bool) -> None:
    """Its locks would be gone before the COPY."""
    with (
        flavour.connection(isolation_level="AUTOCOMMIT") as connection,
        statements(flavour) as sent,
    ):
        flavour.run(flavour.store(connection).write("a-1", [Message("A"), Message("B")]))

    assert len(sent) == 1
    assert "write_messages" in sent[0]


def test_the_schema_that_the_search_path_finds(
    flavour: Any, copies: bool, empty_database: URL
) -> None:
    """None is the connection's own schema, also where there is one of the usual name."""
    plain = create_engine(empty_database, poolclass=NullPool)
    for schema in ("public", "message_store"):
        migrations.upgrade(plain, schema=schema)
    url = flavour.engine.url.set(database=empty_database.database)
    options: Any = {"execution_options": {"schema_translate_map": {"message_store": None}}}
    engine = create_engine(url.set(drivername="postgresql+psycopg"), **options)
    messages = [Message("A"), Message("B")]

    async def write() -> None:
        async_engine = create_async_engine(url, **options)
        async with async_engine.begin() as connection:
            await AsyncMessageStore(connection).write("a-1", messages)
        await async_engine.dispose()

    if flavour.asynchronous:
        flavour.run(write())
    else:
        with engine.begin() as connection:
            MessageStore(connection).write("a-1", messages)

    with engine.connect() as connection:
        assert MessageStore(connection).version("a-1") == 1
        assert qualified(connection, "messages") == '"public".messages'
        assert channel_of(connection) == "public"
        assert summary(connection).messages == 2
    with plain.connect() as connection:
        assert MessageStore(connection).version("a-1") == NO_STREAM
    engine.dispose()


def test_another_schema(flavour: Any, copies: bool, empty_database: URL) -> None:
    schema = "my 'Events'\\ \"x\" %"
    plain = create_engine(empty_database, poolclass=NullPool)
    migrations.upgrade(plain, schema=schema)
    options = {"schema_translate_map": {"message_store": schema}}
    url = flavour.engine.url.set(database=empty_database.database)
    engine: Any = (create_async_engine if flavour.asynchronous else create_engine)(
        url, execution_options=options
    )

    async def write() -> None:
        async with engine.begin() as connection:
            await AsyncMessageStore(connection).write("a-1", [Message("A"), Message("B")])
        await engine.dispose()

    if flavour.asynchronous:
        flavour.run(write())
    else:
        with engine.begin() as connection:
            MessageStore(connection).write("a-1", [Message("A"), Message("B")])
        engine.dispose()

    with plain.connect().execution_options(**options) as connection:
        assert MessageStore(connection).version("a-1") == 1


@pytest.mark.parametrize("pair", ["a-1", Message("T"), ("a-1",), ("a-1", "T"), ["a-1", 1], None])
def test_what_is_no_pair_is_refused(flavour: Any, store: Any, session: Any, pair: Any) -> None:
    with pytest.raises(InvalidArgument, match="What is written must be"):
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
        f"GRANT SELECT, INSERT ON message_store.messages TO {role}",
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


class TestLoad:
    """Any number of messages, in chunks."""

    @pytest.fixture(autouse=True)
    def small_chunks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mdb_sqla.store.bulk_load._CHUNK", 3)

    @pytest.mark.parametrize("number", [0, 1, 3, 8])
    def test_tells_how_far_it_is(self, flavour: Any, store: Any, session: Any, number: int) -> None:
        told: list[int] = []
        pairs = ((f"a-{index % 2}", Message("T", index)) for index in range(number))

        assert flavour.run(store.load(pairs, progress=told.append)) == number

        assert told == [*range(3, number, 3), *([number] if number else [])]
        assert [row[3] for row in stored(flavour, session)] == list(range(number))

    def test_takes_an_async_iterator(self, flavour: Any, store: Any, session: Any) -> None:
        if not flavour.asynchronous:
            pytest.skip("only where the store is asynchronous")

        async def pairs() -> AsyncIterator[tuple[str, Message]]:
            for index in range(7):
                yield "a-1", Message("T", index)

        assert flavour.run(store.load(pairs())) == 7
        assert [row[3] for row in stored(flavour, session)] == list(range(7))

    def test_memory_does_not_grow(
        self, flavour: Any, store: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mdb_sqla.store.bulk_load._CHUNK", 400)

        def peak_of(number: int) -> int:
            tracemalloc.start()
            flavour.run(store.load(("a-1", Message("T", "x" * 500)) for _ in range(number)))
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return peak

        peak_of(800)  # imports, caches
        assert peak_of(6000) < 1.5 * peak_of(800)

    def test_repeats_are_recognised(self, flavour: Any, store: Any, session: Any) -> None:
        pairs = [("a-1", Message("T", index)) for index in range(7)]
        flavour.run(store.load(pairs[:5]))

        assert flavour.run(store.load(pairs)) == 7

        assert [row[3] for row in stored(flavour, session)] == list(range(7))

    def test_what_fails_is_taken_back(self, flavour: Any, store: Any, session: Any) -> None:
        def pairs(fault: Any) -> Iterator[tuple[str, Message]]:
            yield from (("a-1", Message("T", index)) for index in range(7))
            yield fault()

        flavour.run(store.write("before-1", Message("T")))
        faults: list[Callable[[], Any]] = [lambda: ("-1", Message("T")), lambda: [][0]]
        for fault in faults:
            with pytest.raises((InvalidStreamName, IndexError)):
                flavour.run(store.load(pairs(fault)))
        flavour.run(session.commit())

        assert [row[0] for row in stored(flavour, session)] == ["before-1"]

    def test_needs_a_transaction(self, flavour: Any) -> None:
        with (
            flavour.connection(isolation_level="AUTOCOMMIT") as connection,
            pytest.raises(InvalidArgument, match="AUTOCOMMIT"),
        ):
            flavour.run(flavour.store(connection).load([("a-1", Message("T"))]))

    def test_all_or_none(self, flavour: Any, store: Any, session: Any) -> None:
        pairs = [("a-1", Message("T", index)) for index in range(4)]
        with pytest.raises(InvalidMessage):
            flavour.run(store.load([*pairs, ("a-1", Message("T", float("nan")))]))

        flavour.run(session.rollback())
        assert stored(flavour, session) == []


@pytest.mark.parametrize("copies", [True], indirect=True)
def test_a_connection_that_is_lost_while_copying(
    flavour: Any, copies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with flavour.connection() as connection, flavour.connection() as other:
        pid = flavour.run(connection.scalar(text("SELECT pg_backend_pid()")))
        copy_text = copy_writes._COPY[connection.dialect.driver, flavour.asynchronous]
        terminate = text("SELECT pg_terminate_backend(:pid, 5000)")

        def lose_it(sync_connection: Any, rows: Any) -> None:
            getattr(other, "sync_connection", other).execute(terminate, {"pid": pid})
            copy_text(sync_connection, rows)

        monkeypatch.setitem(
            copy_writes._COPY, (connection.dialect.driver, flavour.asynchronous), lose_it
        )
        with pytest.raises(DBAPIError) as error:
            flavour.run(flavour.store(connection).write("a-1", Message("T")))

    assert error.value.connection_invalidated
