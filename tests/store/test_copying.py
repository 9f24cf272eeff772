"""COPY goes past SQLAlchemy, and must not show."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, event, select, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.ext.asyncio import create_async_engine

from mdb_sqla import AsyncMessageStore, Message, MessageStore, MessageStoreError, tables
from mdb_sqla.store import writes

pytestmark = pytest.mark.usefixtures("always_copies")


@pytest.fixture
def always_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writes, "COPY_THRESHOLD", 2)


@contextmanager
def trigger(engine: Any, body: str) -> Iterator[None]:
    """Have a trigger on the table, for as long as the block lasts."""
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION public.on_message() RETURNS trigger LANGUAGE plpgsql "
            f"AS 'BEGIN {body} END'"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER on_message BEFORE INSERT ON message_store.messages "
            "FOR EACH ROW EXECUTE FUNCTION public.on_message()"
        )
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP FUNCTION public.on_message() CASCADE")


@pytest.fixture
def administrator(clean_database: URL) -> Iterator[Any]:
    engine = create_engine(clean_database)
    yield engine
    engine.dispose()


def stream_names(engine: Any) -> set[str]:
    with engine.connect() as connection:
        return set(connection.scalars(select(tables.messages.c.stream_name)))


def test_the_encoding_of_the_connection_does_not_matter(flavour: Any, administrator: Any) -> None:
    if flavour.engine.dialect.driver != "psycopg":
        pytest.skip("asyncpg always speaks UTF-8")
    options = {"client_encoding": "latin1"}
    messages = [Message("Ü", {"ä": "ö"}), Message("Ü")]

    async def write() -> int:
        engine = create_async_engine(flavour.engine.url, **options)
        async with engine.begin() as connection:
            position = await AsyncMessageStore(connection).write("ä-1", messages)
        await engine.dispose()
        return position

    if flavour.asynchronous:
        assert flavour.run(write()) == 1
    else:
        engine = create_engine(flavour.engine.url, **options)
        with engine.begin() as connection:
            assert MessageStore(connection).write("ä-1", messages) == 1
        engine.dispose()

    assert stream_names(administrator) == {"ä-1"}


def test_a_write_that_is_cancelled_can_not_be_committed(flavour: Any, administrator: Any) -> None:
    if not flavour.asynchronous:
        pytest.skip("only what is asynchronous is cancelled")

    async def write() -> None:
        async with flavour.engine.connect() as connection:
            await connection.execute(text("CREATE TABLE public.own (n int)"))
            copying = asyncio.create_task(
                AsyncMessageStore(connection).write("a-1", [Message("T"), Message("T")])
            )
            waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
            async with flavour.engine.connect() as other:
                while not await other.scalar(waiting):
                    await other.rollback()
                    await asyncio.sleep(0.005)
            copying.cancel()
            with pytest.raises(asyncio.CancelledError):
                await copying
            with pytest.raises(PendingRollbackError):
                await connection.commit()

    with trigger(administrator, "PERFORM pg_sleep(5); RETURN new;"):
        flavour.run(write())
    assert stream_names(administrator) == set()


def test_a_write_that_takes_too_long_is_not_tried_again(flavour: Any, administrator: Any) -> None:
    with (
        trigger(administrator, "PERFORM pg_sleep(5); RETURN new;"),
        flavour.connection() as connection,
    ):
        flavour.run(connection.execute(text("SET LOCAL statement_timeout = '100ms'")))
        tried: list[str] = []
        event.listen(
            flavour.sync_engine,
            "before_cursor_execute",
            lambda _connection, _cursor, statement, *_: tried.append(statement),
        )
        with pytest.raises(DBAPIError) as error:
            flavour.run(flavour.store(connection).write("a-1", [Message("T"), Message("T")]))

    assert getattr(error.value.orig, "sqlstate", None) == "57014"
    assert not any("write_messages" in statement for statement in tried)


@pytest.mark.parametrize("threshold", [2, 100], ids=["copied", "called"])
@pytest.mark.parametrize(
    ("body", "told"),
    [("RETURN NULL;", "0 of 3"), ("RETURN CASE new.type WHEN 'T' THEN new END;", "2 of 3")],
)
def test_a_trigger_that_drops_messages_is_told(
    flavour: Any,
    administrator: Any,
    body: str,
    told: str,
    threshold: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writes, "COPY_THRESHOLD", threshold)
    quoted = body.replace("'", "''")
    with trigger(administrator, quoted), flavour.connection() as connection:
        messages = [Message("T"), Message("Dropped"), Message("T")]
        with pytest.raises(MessageStoreError, match=f"{told} messages"):
            flavour.run(flavour.store(connection).write("a-1", messages))


def test_what_changes_the_statements_of_a_session_is_heeded(flavour: Any) -> None:
    """A COPY would go past it."""
    with flavour.session() as session:
        sync_session = getattr(session, "sync_session", session)
        seen: list[str] = []
        event.listen(
            sync_session, "do_orm_execute", lambda state: seen.append(str(state.statement))
        )
        flavour.run(flavour.store(session).write("a-1", [Message("T"), Message("T")]))

    assert "write_messages" in "".join(seen)
    assert "prepare_copy" not in "".join(seen)
