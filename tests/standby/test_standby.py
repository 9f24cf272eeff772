"""Reads on a hot standby, which replays what its primary does and knows nothing of its locks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import psycopg
import pytest
from sqlalchemy import Engine, NullPool, create_engine, text

from mdb_sqla import Message, MessageStore, ReadNotExact, migrations
from mdb_sqla.admin.granularity_switch import set_lock_granularity
from mdb_sqla.transfer.message_tail import Following, ReadError
from mdb_sqla.transfer.raw_reads import RawReader
from mdb_sqla.words.raw_message import RawMessage
from tests.side_by_side.message_db import conninfo
from tests.standby.conftest import replayed, replicating
from tests.waiting import backends


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[Engine, Engine]]:
    """A primary server and its standby."""
    with replicating(request, folder) as both:
        engines = [create_engine(server.url(), poolclass=NullPool) for server in both]
        migrations.upgrade(engines[0])
        yield engines[0], engines[1]


@pytest.fixture
def primary(servers: tuple[Engine, Engine]) -> Iterator[Engine]:
    set_lock_granularity(servers[0], "category")
    yield servers[0]
    set_lock_granularity(servers[0], "category")
    with servers[0].begin() as connection:
        connection.execute(text("TRUNCATE message_store.messages"))


@pytest.fixture
def standby(servers: tuple[Engine, Engine]) -> Engine:
    return servers[1]


@pytest.fixture
def catch_up(servers: tuple[Engine, Engine]) -> Callable[[], None]:
    return replayed(*servers)


def write(engine: Engine, *stream_names: str) -> None:
    with engine.begin() as connection:
        for stream_name in stream_names:
            MessageStore(connection).write(stream_name, Message("T"))


def test_a_category_is_read_as_on_the_primary(
    primary: Engine, standby: Engine, catch_up: Callable[[], None]
) -> None:
    write(primary, "a-1", "a-2", "b-1", "a-1")
    catch_up()

    with standby.connect() as there, primary.connect() as here:
        messages = MessageStore(there).read_category("a")
        assert messages == MessageStore(here).read_category("a")
        assert len(messages) == 3
        assert len(MessageStore(there).read_stream("a-1")) == 2


def test_what_needs_the_writers_locks_is_refused(
    primary: Engine, standby: Engine, catch_up: Callable[[], None]
) -> None:
    write(primary, "a-1")
    catch_up()

    for read in ("read_messages", "settled_position"):
        with (
            standby.connect() as connection,
            pytest.raises(ReadNotExact, match="on the primary server") as error,
        ):
            getattr(MessageStore(connection), read)()
        assert "category" in error.value.__notes__[0]
    with standby.connect() as connection, pytest.raises(ReadNotExact):
        MessageStore(connection).read_messages(["empty"])


def test_no_category_while_writers_lock_streams(
    primary: Engine, standby: Engine, catch_up: Callable[[], None]
) -> None:
    write(primary, "a-1")
    set_lock_granularity(primary, "stream")
    catch_up()
    for category in ("a", "empty"):
        with standby.connect() as connection, pytest.raises(ReadNotExact, match="stream"):
            MessageStore(connection).read_category(category)

    set_lock_granularity(primary, "category")
    catch_up()
    with standby.connect() as connection:
        assert len(MessageStore(connection).read_category("a")) == 1


def test_a_session_that_read_before_the_switch_finds_out(
    primary: Engine, standby: Engine, catch_up: Callable[[], None]
) -> None:
    write(primary, "a-1")
    catch_up()
    with standby.connect() as connection:
        store = MessageStore(connection)
        assert len(store.read_category("a")) == 1

        set_lock_granularity(primary, "stream")
        catch_up()

        with pytest.raises(ReadNotExact):
            store.read_category("a")


def test_who_follows_all_messages_waits_for_the_primary(primary: Engine, standby: Engine) -> None:
    """An address may point to a standby for a moment, at a switchover."""
    urls = [primary.url]
    engine = create_engine(
        "postgresql+psycopg://",
        poolclass=NullPool,
        creator=lambda: psycopg.connect(conninfo(urls[0])),
    )
    troubles: Queue[ReadError] = Queue()
    following = Following(engine, RawReader(None), troubles.put)
    batches: Queue[list[RawMessage]] = Queue()

    def follow() -> None:
        for batch in following:
            batches.put(batch)

    with ThreadPoolExecutor() as threads:
        done = threads.submit(follow)
        try:
            write(primary, "a-1")
            assert [message.global_position for message in batches.get(timeout=20)]
            urls[0] = standby.url
            with primary.connect() as connection:
                for pid in backends(connection, "."):
                    connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            while not isinstance(troubles.get(timeout=20), ReadNotExact):
                pass
            urls[0] = primary.url
            write(primary, "b-1")
            (message,) = batches.get(timeout=20)
            assert message.stream_name == "b-1"
        finally:
            following.end()
        done.result(20)
