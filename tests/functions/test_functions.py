"""The Core constructs, used the way an application uses SQLAlchemy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    func,
    insert,
    literal,
    select,
    true,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import StatementError

from mdb_sqla import Message, MessageStore, functions, migrations, tables


def write(connection: Connection, stream_name: str, *types: str) -> None:
    for number, type_ in enumerate(types):
        MessageStore(connection).write(stream_name, Message(type_, {"n": number}))


def test_scalars(connection: Connection) -> None:
    row = connection.execute(
        select(
            functions.category("account:command-1+2"),
            functions.id("account:command-1+2"),
            functions.cardinal_id("account:command-1+2"),
            functions.is_category("account"),
            functions.hash_64("account"),
            functions.message_store_version(),
            functions.stream_version("account-1"),
            functions.acquire_lock("account-1"),
        )
    ).one()

    key = int.from_bytes(hashlib.md5(b"account").digest()[:8], signed=True)
    assert tuple(row) == ("account:command", "1+2", "1", True, key, "1.3.0", None, key)
    assert row._fields[:3] == ("category_1", "id_1", "cardinal_id_1")


def test_the_last_position_that_was_drawn(connection: Connection) -> None:
    write(connection, "account-1", "Opened")

    drawn, position = connection.execute(
        select(functions.last_global_position(), func.max(tables.messages.c.global_position))
    ).one()
    assert drawn == position


def test_write_message(connection: Connection) -> None:
    id_ = uuid4()
    call = functions.write_message(id_, "account-1", "Opened", {"a": [1]}, {"b": None}, -1)

    assert connection.scalar(select(call)) == 0
    row = connection.execute(select(tables.messages)).one()
    assert (row.position, row.stream_name, row.type) == (0, "account-1", "Opened")
    assert (row.data, row.metadata, row.id) == ({"a": [1]}, {"b": None}, id_)
    assert row.time.tzinfo is UTC


def test_write_message_from_a_select(connection: Connection) -> None:
    """The arguments are expressions as well as values."""
    numbers = func.generate_series(1, 3).table_valued("value").render_derived()
    call = functions.write_message(
        func.gen_random_uuid().cast(String),
        literal("account-") + numbers.c.value.cast(String),
        "Opened",
        func.jsonb_build_object("n", numbers.c.value),
    )

    assert connection.scalars(select(call).select_from(numbers)).all() == [0, 0, 0]
    m = tables.messages.c
    assert connection.execute(select(m.stream_name, m.data).order_by(m.global_position)).all() == [
        ("account-1", {"n": 1}),
        ("account-2", {"n": 2}),
        ("account-3", {"n": 3}),
    ]


def test_none_is_null(connection: Connection) -> None:
    connection.execute(select(functions.write_message(uuid4(), "a-1", "T", None)))

    m = tables.messages.c
    assert connection.execute(select(m.data.is_(None), m.metadata.is_(None))).one() == (True, True)


def test_a_set_returning_function_is_a_table(connection: Connection) -> None:
    write(connection, "account-1", "Opened", "Deposited", "Closed")
    told = functions.get_stream_messages("account-1", 1)

    row = connection.execute(select(told).order_by(told.c.position.desc()).limit(1)).one()

    assert isinstance(row.id, UUID)
    assert (row.stream_name, row.type, row.position) == ("account-1", "Closed", 2)
    assert (row.data, row.metadata) == ({"n": 2}, None)
    assert isinstance(row.time, datetime)
    assert row.time.tzinfo is UTC
    assert row._fields == (
        "id",
        "stream_name",
        "type",
        "position",
        "global_position",
        "data",
        "metadata",
        "time",
    )
    same = select(told.c.type).where(told.c.id == row.id)
    assert connection.scalar(same) == "Closed"


def test_it_joins_with_a_table_of_the_application(connection: Connection) -> None:
    accounts = Table(
        "accounts", MetaData(), Column("id", Integer, primary_key=True), Column("owner", String)
    )
    accounts.create(connection)
    connection.execute(insert(accounts), [{"id": 1, "owner": "Ann"}, {"id": 2, "owner": "Bob"}])
    write(connection, "account-1", "Opened", "Closed")
    write(connection, "account-2", "Opened")

    every = functions.get_category_messages("account")
    joined = (
        select(accounts.c.owner, every.c.type)
        .join(every, functions.id(every.c.stream_name) == accounts.c.id.cast(String))
        .order_by(every.c.global_position)
    )
    assert connection.execute(joined).all() == [
        ("Ann", "Opened"),
        ("Ann", "Closed"),
        ("Bob", "Opened"),
    ]

    last = functions.get_last_stream_message(
        literal("account-") + accounts.c.id.cast(String)
    ).lateral()
    latest = select(accounts.c.owner, last.c.type).join(last, true()).order_by(accounts.c.id)
    assert connection.execute(latest).all() == [("Ann", "Closed"), ("Bob", "Opened")]


def test_it_joins_with_itself(connection: Connection) -> None:
    write(connection, "account-1", "A", "B")
    first = functions.get_stream_messages("account-1").alias("first")
    second = functions.get_stream_messages("account-1").alias("second")

    pairs = select(first.c.type, second.c.type).join(
        second, second.c.position == first.c.position + 1
    )

    assert connection.execute(pairs).all() == [("A", "B")]


def test_reports(connection: Connection) -> None:
    write(connection, "account-1", "Opened", "Closed")
    write(connection, "account-2", "Opened")

    assert connection.execute(select(tables.type_summary)).all() == [
        ("Closed", 1, Decimal("33.33")),
        ("Opened", 2, Decimal("66.67")),
    ]
    for report in (
        tables.stream_summary,
        tables.stream_type_summary,
        tables.type_stream_summary,
        tables.category_type_summary,
        tables.type_category_summary,
    ):
        assert sum(row.message_count for row in connection.execute(select(report))) == 3


def test_times_are_compared_in_utc(connection: Connection) -> None:
    write(connection, "account-1", "Opened")
    count = select(func.count()).select_from(tables.messages)

    assert connection.scalar(count.where(tables.messages.c.time <= datetime.now(UTC))) == 1
    assert connection.scalar(count.where(tables.messages.c.time > datetime.now(UTC))) == 0
    with pytest.raises(StatementError, match="must have a time zone"):
        connection.scalar(count.where(tables.messages.c.time <= datetime(2026, 1, 1)))


class Money(Decimal):
    """A number that only the engine's own serializer knows."""


@pytest.fixture
def engine_with_json(engine: Engine) -> Iterator[Engine]:
    def dumps(value: Any) -> str:
        return json.dumps(value, default=lambda money: {"$money": str(money)})

    def loads(text: str | bytes) -> Any:
        return json.loads(text, object_hook=lambda o: Money(o["$money"]) if "$money" in o else o)

    engine = create_engine(engine.url, json_serializer=dumps, json_deserializer=loads)
    yield engine
    engine.dispose()


def test_json_goes_through_the_engines_serializer(engine_with_json: Engine) -> None:
    data = {"amount": Money("1.10")}
    with engine_with_json.begin() as connection:
        store = MessageStore(connection)
        store.write("account-1", Message("A", data, {"properties": data}))
        store.write("account-1", [Message("B", data), Message("C", data, {"properties": data})])
        read = store.read_stream("account-1")
        stored = connection.scalars(select(tables.messages.c.data)).all()
        told = functions.get_category_messages("account")
        returned = connection.scalars(select(told.c.data)).all()

    assert [message.data for message in read] == [data] * 3
    assert all(type(message.data["amount"]) is Money for message in read)
    assert read[2].metadata == {"properties": data}
    assert stored == returned == [data] * 3


@pytest.mark.parametrize("schema", ["events", 'Odd "name" %s :x', "user"])
def test_another_schema(empty_database: Any, schema: str) -> None:
    plain = create_engine(empty_database)
    engine = plain.execution_options(schema_translate_map={"message_store": schema})
    migrations.upgrade(engine, schema=schema)
    with engine.begin() as connection:
        store = MessageStore(connection)
        assert store.write("account-1", [Message("A"), Message("B")]) == 1
        assert store.write("account-1", Message("C")) == 2
        assert [message.type for message in store.iterate_category("account")] == ["A", "B", "C"]
        assert connection.scalar(select(functions.stream_version("account-1"))) == 2
        assert connection.scalar(select(func.count()).select_from(tables.type_summary)) == 3
    plain.dispose()


def test_two_schemas_from_one_cached_statement(empty_database: Any) -> None:
    plain = create_engine(empty_database)
    for schema in ("one", "two"):
        migrations.upgrade(plain, schema=schema)
    for schema, count in (("one", 1), ("two", 3), ("one", 2)):
        engine = plain.execution_options(schema_translate_map={"message_store": schema})
        with engine.begin() as connection:
            MessageStore(connection).write("account-1", [Message("T") for _ in range(count)])
    with plain.connect() as connection:
        versions = [
            MessageStore(
                connection.execution_options(schema_translate_map={"message_store": schema})
            ).version("account-1")
            for schema in ("one", "two")
        ]
    plain.dispose()

    assert versions == [2, 2]


def test_constructs_compile_without_an_engine() -> None:
    told = functions.get_stream_messages("account-1")
    compiled = str(select(told.c.type).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]

    assert "FROM message_store.get_stream_messages(" in compiled
    assert select(told)._generate_cache_key() is not None
