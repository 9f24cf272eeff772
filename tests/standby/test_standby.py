"""Reads on a hot standby, which replays what its primary does and knows nothing of its locks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, NullPool, create_engine, text
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from mdb_sqla import Message, MessageStore, ReadNotExact, migrate
from mdb_sqla.embedded import EmbeddedPostgres
from mdb_sqla.granularity import set_lock_granularity
from tests.folders import open_folder

SETTINGS = {"fsync": "off", "hot_standby_feedback": "on"}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[Engine, Engine]]:
    """A primary server and its standby."""
    where = request.config.getoption("--postgres")
    if where == "docker":
        pytest.skip("Needs PostgreSQL's programs, to start two servers")
    binaries = Path(where) if where else None
    with EmbeddedPostgres(folder / "primary", binaries=binaries, settings=SETTINGS):
        pass
    shutil.copytree(folder / "primary", folder / "standby")
    owner = (folder / "primary").stat()
    for path in [folder / "standby", *(folder / "standby").rglob("*")]:
        shutil.chown(path, owner.st_uid, owner.st_gid)
    signal = folder / "standby" / "standby.signal"
    signal.touch()
    shutil.chown(signal, owner.st_uid, owner.st_gid)
    with EmbeddedPostgres(folder / "primary", binaries=binaries, settings=SETTINGS) as primary:
        url = primary.url()
        conninfo = f"host={url.query['host']} port={url.port or 5432} user={url.username}"
        settings = {**SETTINGS, "primary_conninfo": conninfo}
        with EmbeddedPostgres(folder / "standby", binaries=binaries, settings=settings) as standby:
            engines = tuple(
                create_engine(server.url(), poolclass=NullPool) for server in (primary, standby)
            )
            migrate.upgrade(engines[0])
            yield engines[0], engines[1]


@pytest.fixture
def primary(servers: tuple[Engine, Engine]) -> Iterator[Engine]:
    yield servers[0]
    set_lock_granularity(servers[0], "category")
    with servers[0].begin() as connection:
        connection.execute(text("TRUNCATE message_store.messages"))


@pytest.fixture
def standby(servers: tuple[Engine, Engine]) -> Engine:
    return servers[1]


@pytest.fixture
def catch_up(servers: tuple[Engine, Engine]) -> Callable[[], None]:
    """Wait until the standby has replayed all that the primary has done so far."""
    primary, standby = servers

    def wait() -> None:
        with primary.connect() as connection:
            position = connection.scalar(text("SELECT pg_current_wal_insert_lsn()"))

        @retry(
            retry=retry_if_result(lambda replayed: not replayed),
            stop=stop_after_delay(30),
            wait=wait_fixed(0.01),
        )
        def replayed() -> bool:
            with standby.connect() as connection:
                return bool(
                    connection.scalar(
                        text("SELECT pg_last_wal_replay_lsn() >= :position"),
                        {"position": position},
                    )
                )

        replayed()

    return wait


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


def test_no_category_while_writers_lock_streams(
    primary: Engine, standby: Engine, catch_up: Callable[[], None]
) -> None:
    write(primary, "a-1")
    set_lock_granularity(primary, "stream")
    catch_up()
    with standby.connect() as connection, pytest.raises(ReadNotExact, match="stream"):
        MessageStore(connection).read_category("a")

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
