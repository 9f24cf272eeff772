"""Strings that are more than strings, and JSON that is no text."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any
from uuid import uuid4

import orjson
import pytest
from sqlalchemy import bindparam, create_engine, select
from sqlalchemy.ext.asyncio import create_async_engine

from mdb_sqla import (
    InvalidArgument,
    InvalidMessage,
    Message,
    StoredMessage,
    functions,
    tables,
    write_on_commit,
)
from mdb_sqla.store.copy_writes import COPY_THRESHOLD


class Name(str, Enum):  # noqa: UP042
    """Not a `StrEnum`: `str()` and f-strings have `Name.STREAM`."""

    STREAM = "order-1"
    CATEGORY = "order"
    TYPE = "Placed"
    CONDITION = "position >= 0"
    CORRELATION = "shop-1"
    CORRELATION_CATEGORY = "shop"


@pytest.mark.parametrize("number", [1, COPY_THRESHOLD])
def test_the_value_is_written_and_read(flavour: Any, number: int) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        for _ in range(number):
            message = Message(Name.TYPE, {Name.TYPE: Name.TYPE}).with_correlation(Name.CORRELATION)
            write_on_commit(session, Name.STREAM, message)
        flavour.run(session.commit())
        messages = [(Name.STREAM, Message(Name.TYPE)) for _ in range(number)]
        flavour.run(store.write_messages(messages, expected_versions={Name.STREAM: number - 1}))
        read = flavour.run(store.read_stream(Name.STREAM))
        assert {(each.stream_name, each.type) for each in read} == {("order-1", "Placed")}
        assert len(read) == 2 * number
        assert read[0].data == {"Placed": "Placed"}
        assert flavour.run(store.version(Name.STREAM)) == 2 * number - 1
        assert flavour.run(store.last_message(Name.STREAM, Name.TYPE)) == read[-1]
        assert flavour.run(store.read_category(Name.CATEGORY)) == read
        assert flavour.run(store.read_messages([Name.CATEGORY])) == read
        correlated = store.read_category(Name.CATEGORY, correlation=Name.CORRELATION_CATEGORY)
        assert flavour.run(correlated) == read[:number]


def test_the_value_is_what_functions_and_tables_take(flavour: Any) -> None:
    m = tables.messages.c
    with flavour.session() as session:
        written = functions.write_message(uuid4(), Name.STREAM, Name.TYPE, {})
        flavour.run(session.execute(select(written)))
        version = functions.stream_version(bindparam("name"))
        assert flavour.run(session.scalar(select(version), {"name": Name.STREAM})) == 0
        of_several = functions.get_messages([Name.CATEGORY])
        assert flavour.run(session.scalar(select(of_several.c.stream_name))) == "order-1"
        statement = select(m.type).where(m.stream_name == Name.STREAM, m.type.in_([Name.TYPE]))
        assert flavour.run(session.scalar(statement)) == "Placed"


class Serialized:
    """A serializer that returns what a test sets."""

    def __init__(self, returned: Any) -> None:
        self._returned = returned

    def __call__(self, value: Any) -> Any:
        if isinstance(self._returned, Exception):
            raise self._returned
        return self._returned


def unescaped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


class OwnError(Exception):
    """What a serializer raises that knows nothing of Python's own errors."""


SURROGATE = {"k": "\ud800"}


@pytest.mark.parametrize(
    ("serializer", "data"),
    [
        (unescaped, SURROGATE),
        (unescaped, {"\ud800": 1}),
        (orjson.dumps, SURROGATE),
        (orjson.dumps, {"k": 2**64}),
        (Serialized('"a\0"'), 1),
        (Serialized(b'"\xff"'), 1),
        (Serialized(None), 1),
        (Serialized(4), 1),
        (Serialized(OwnError("no")), 1),
        (Serialized(OverflowError("deep")), 1),
    ],
)
@pytest.mark.parametrize("which", ["data", "metadata"])
@pytest.mark.parametrize("number", [1, COPY_THRESHOLD])
def test_what_is_no_text_names_the_message(
    flavour: Any, serializer: Any, data: Any, which: str, number: int
) -> None:
    create: Any = create_async_engine if flavour.asynchronous else create_engine
    engine = create(flavour.engine.url, json_serializer=serializer)
    value = data if which == "data" else {"a": data}
    bad = Message("Bad", value) if which == "data" else Message("Bad", metadata=value)
    messages = [bad, *(Message("Good") for _ in range(number - 1))]
    with flavour.session() as session:
        session.bind = engine
        if flavour.asynchronous:
            session.sync_session.bind = engine.sync_engine
        store = flavour.store(session)
        for write in (
            lambda: flavour.run(store.write("order-1", messages)),
            lambda: flavour.run(store.write_messages([("order-1", each) for each in messages])),
            lambda: write_on_commit(session, "order-1", messages),
        ):
            with pytest.raises(InvalidMessage, match=f"'Bad'.*{which} must be JSON") as error:
                write()
            assert error.value.message is bad
        # Nothing was sent, and the transaction is as it was.
        flavour.run(store.write("order-1", Message("Good")))
        flavour.run(session.commit())
    flavour.run(engine.dispose())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_any_kind_are_text(flavour: Any, kind: Any) -> None:
    create: Any = create_async_engine if flavour.asynchronous else create_engine
    engine = create(flavour.engine.url, json_serializer=Serialized(kind('{"k": "é"}'.encode())))
    connection = flavour.run(engine.connect().start()) if flavour.asynchronous else engine.connect()
    store = flavour.store(connection)
    flavour.run(store.write("order-1", Message("T", {"k": "é"})))
    (read,) = flavour.run(store.read_stream("order-1"))
    assert read.data == {"k": "é"}
    flavour.run(connection.close())
    flavour.run(engine.dispose())


NOT_OURS = [
    ({"type": "T"}, "'T'.*dict"),
    ("T", "'T' .str."),
    (b"T", "bytes"),
    (4, "4 .int."),
    ([{"type": "T"}], r"dict.*in a list"),
    ([Message("T"), "T"], r"'T' .str., in a list"),
    (StoredMessage(None, "a-1", "T", 0, 1, None, {}, None), "StoredMessage"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("what", "named"), NOT_OURS)
def test_what_is_no_message_is_named_with_its_type(flavour: Any, what: Any, named: str) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        for write in (store.write, lambda *a: write_on_commit(session, *a)):
            with pytest.raises(InvalidArgument, match=f"must be an .*Message, got .*{named}"):
                flavour.run(write("order-1", what))
        with pytest.raises(InvalidArgument, match="must be an instance"):
            flavour.run(store.write_messages([("order-1", what)]))


def test_arguments_that_are_swapped(flavour: Any) -> None:
    message: Any = Message("T")
    with flavour.session() as session:
        for write in (flavour.store(session).write, lambda *a: write_on_commit(session, *a)):
            with pytest.raises(InvalidArgument, match=r"a string, got mdb_sqla\.Message"):
                flavour.run(write(message, "order-1"))
        with pytest.raises(InvalidArgument, match="Message"):
            flavour.run(flavour.store(session).write_messages([(message, "order-1")]))
