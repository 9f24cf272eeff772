"""Engines that an application has set up in a way of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from psycopg.adapt import Loader
from sqlalchemy import URL, Engine, create_engine, event, select, text
from sqlalchemy.ext.horizontal_shard import ShardedSession
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import (
    NO_STREAM,
    Consumer,
    DuplicateMessageId,
    InvalidArgument,
    InvalidMessage,
    Message,
    MessageStore,
    TransactionConflict,
    UnitOfWork,
    WrongExpectedVersion,
    expect_on_commit,
    functions,
    migrations,
    tables,
    write_on_commit,
)
from mdb_sqla.consumers.consumer_lag import lag
from mdb_sqla.consumers.dead_letter_queue import dead_letters
from mdb_sqla.transfer.raw_reads import RawReader


class ReturnsText(Loader):
    def load(self, data: Any) -> str:
        return bytes(data).decode()


class ReturnsBytes(Loader):
    def load(self, data: Any) -> bytes:
        return bytes(data)


class ReturnsLocalTime(Loader):
    def load(self, data: Any) -> datetime:
        return datetime.fromisoformat(bytes(data).decode()).replace(tzinfo=UTC).astimezone()


def load_with(flavour: Any, kind: str, loader: type[Loader]) -> None:
    """Have the driver return values of a type as something else, as an application may."""

    @event.listens_for(flavour.sync_engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        if flavour.sync_engine.dialect.driver == "psycopg":
            driver = getattr(connection, "driver_connection", connection)
            driver.adapters.register_loader(kind, loader)
            return

        async def set_codec(driver: Any) -> None:
            await driver.set_type_codec(
                kind,
                schema="pg_catalog",
                encoder=str,
                decoder=lambda value: loader(0).load(value.encode()),
            )

        connection.run_async(set_codec)


@pytest.mark.parametrize(
    ("kind", "loader"),
    [("uuid", ReturnsText), ("timestamp", ReturnsText), ("timestamp", ReturnsLocalTime)],
)
def test_what_a_driver_returns_as_something_else_is_read_all_the_same(
    flavour: Any, kind: str, loader: type[Loader]
) -> None:
    load_with(flavour, kind, loader)
    message = Message("T", {"n": 1})
    with flavour.session() as session:
        store = flavour.store(session)
        flavour.run(store.write("a-1", message))
        (read,) = flavour.run(store.read_category("a"))
        statement = select(functions.get_stream_messages("a-1").c.time)
        time = flavour.run(session.scalar(statement))
        now = flavour.run(session.scalar(text("SELECT extract(epoch FROM now())")))
        run_sync = getattr(session, "run_sync", lambda work: work(session))
        (raw,) = flavour.run(run_sync(RawReader("a-1").next))

    assert isinstance(read.id, UUID)
    assert read.id == raw.id == message.id
    assert read.time == time == raw.time.replace(tzinfo=UTC)
    assert read.time.utcoffset() == timedelta(0)
    assert read.time.timestamp() == pytest.approx(float(now), abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "told"), [("uuid", "UUIDs as UUID"), ("timestamp", "timestamps as datetime")]
)
def test_what_can_not_be_read_is_told(flavour: Any, kind: str, told: str) -> None:
    load_with(flavour, kind, ReturnsBytes)
    with flavour.session() as session:
        store = flavour.store(session)
        flavour.run(store.write("a-1", Message("T")))
        with pytest.raises(InvalidArgument, match=told):
            flavour.run(store.read_stream("a-1"))


@pytest.fixture
def set_for_all(clean_database: URL) -> Iterator[Any]:
    """Sets what the connections of the database begin with."""
    engine = create_engine(clean_database, isolation_level="AUTOCOMMIT")
    database = f'"{clean_database.database}"'

    def set_for_all(name: str, value: str) -> None:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {database} SET {name} = '{value}'")

    yield set_for_all
    with engine.connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {database} RESET ALL")
    engine.dispose()


@pytest.mark.parametrize("style", ["SQL, DMY", "German", "Postgres, MDY"])
def test_dates_in_any_style(flavour: Any, set_for_all: Any, style: str) -> None:
    set_for_all("DateStyle", style)
    with flavour.session() as session:
        run_sync = getattr(session, "run_sync", lambda work: work(session))
        flavour.run(
            session.execute(
                text(
                    "INSERT INTO message_store.dead_letters "
                    "(consumer, global_position, slot, stream_name, position, type, failed) "
                    "VALUES ('c', 1, 0, 'a-1', 0, 'T', true)"
                )
            )
        )
        (letter,) = flavour.run(run_sync(lambda session: dead_letters(session, "c")))
        now = flavour.run(session.scalar(text("SELECT extract(epoch FROM clock_timestamp())")))
        statement = select(tables.dead_letters.c.dead_lettered_at)
        assert flavour.run(session.scalar(statement)) == letter.dead_lettered_at

    assert letter.dead_lettered_at.utcoffset() == timedelta(0)
    assert letter.dead_lettered_at.timestamp() == pytest.approx(float(now), abs=5)


class TestPsycopg2:
    @pytest.fixture
    def engine(self, clean_database: URL) -> Iterator[Engine]:
        engine = create_engine(clean_database.set(drivername="postgresql+psycopg2"))
        yield engine
        engine.dispose()

    def test_refusals(self, engine: Engine) -> None:
        taken = Message("T", {"n": 1})
        with Session(engine) as session:
            store = MessageStore(session)
            store.write("a-1", [taken, Message("T")])
            session.commit()
            with pytest.raises(WrongExpectedVersion) as error:
                store.write("a-1", Message("T"), expected_version=0)
            assert (error.value.stream_name, error.value.stream_version) == ("a-1", 1)
            session.rollback()
            with pytest.raises(DuplicateMessageId) as duplicate:
                store.write("a-2", taken, idempotent=False)
            assert duplicate.value.id == str(taken.id)
            session.rollback()
            with pytest.raises(InvalidMessage, match="NaN"):
                store.write("a-1", Message("T", float("nan")))

    def test_many_and_their_values(self, engine: Engine) -> None:
        messages = [
            Message("Ü", {"n": n, "text": "ä\\n'%s"}, {"properties": {}}) for n in range(300)
        ]
        with Session(engine) as session:
            store = MessageStore(session)
            store.write_messages(
                [("a-1", each) for each in messages], expected_versions={"b-1": -1}
            )
            read = store.read_messages(["a", "b"], batch_size=-1)
            assert store.version("b-1") == NO_STREAM

        assert [each.id for each in read] == [each.id for each in messages]
        assert [each.data for each in read] == [each.data for each in messages]
        assert {each.time.utcoffset() for each in read} == {timedelta(0)}

    def test_conflict(self, engine: Engine) -> None:
        serializable = engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine) as other, Session(serializable) as session:
            session.execute(text("SELECT 1"))
            MessageStore(other).write("a-1", Message("T"))
            other.commit()
            with pytest.raises(TransactionConflict) as error:
                MessageStore(session).write("a-1", Message("T"))
        assert error.value.sqlstate == "40001"

    def test_consumer(self, engine: Engine) -> None:
        factory = sessionmaker(engine)
        with UnitOfWork(factory) as unit:
            unit.write("a-1", [Message("T", n) for n in range(3)])
            unit.commit()
        consumer = Consumer("c", "a", on_failure="dead_letter")
        seen: list[int] = []

        @consumer.on("T")
        def handle(message: Any, unit: Any) -> None:
            seen.append(message.data)
            if message.data < 2:
                unit.write("a-1", Message("T", message.data + 2))

        consumer.catch_up(factory)
        consumer.catch_up(factory)
        assert seen == [0, 1, 2, 2, 3]


def test_another_database_is_refused() -> None:
    engine = create_engine("sqlite://")
    with Session(engine) as session:
        for call in (
            lambda: MessageStore(session).write("a-1", Message("T")),
            lambda: MessageStore(session).read_stream("a-1"),
            lambda: MessageStore(session).version("a-1"),
            lambda: MessageStore(session).settled_position(),
            lambda: expect_on_commit(session, "a-1", NO_STREAM),
            lambda: lag(session, "c"),
            lambda: Consumer("c", "a").catch_up(sessionmaker(engine)),
            lambda: migrations.upgrade(engine),
        ):
            with pytest.raises(InvalidArgument, match=r"driver sqlite\+pysqlite.*psycopg2"):
                call()
    engine.dispose()


def test_a_session_with_several_databases_is_refused() -> None:
    engine = create_engine("postgresql+psycopg://")
    session = ShardedSession(
        shards={"a": engine},
        shard_chooser=lambda *_, **__: "a",
        identity_chooser=lambda *_, **__: ["a"],
        execute_chooser=lambda _: ["a"],
    )
    for call in (
        lambda: write_on_commit(session, "a-1", Message("T")),
        lambda: MessageStore(session).read_stream("a-1"),
        lambda: MessageStore(session).version("a-1"),
    ):
        with pytest.raises(InvalidArgument, match="which database of"):
            call()
