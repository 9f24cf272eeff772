"""The web interface reads messages from standbys, and shows what the primary server would."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine

from mdb_sqla import InvalidArgument, Standbys, migrations
from mdb_sqla.host.http_server import serve
from mdb_sqla.web import create_app
from mdb_sqla.web.bounded_database import BoundedDatabase
from mdb_sqla.web.message_database import MessageDatabase
from tests.cli.test_mdb import MDB
from tests.standby.reading import open_writer, write
from tests.standby.servers import Server, replication
from tests.waiting import wait_until

Servers = tuple[Server, list[Server]]

DRIVERS = ["psycopg", "async psycopg", "asyncpg"]


@pytest.fixture(scope="module")
def replicated(request: pytest.FixtureRequest, folder: Path) -> Iterator[Servers]:
    # For seconds, nothing writes what no commit waits for to disk.
    settings = {"wal_writer_delay": "10s", "bgwriter_delay": "10s", "autovacuum": "off"}
    with replication(request, folder, 2, **settings) as (primary, standbys):
        migrations.upgrade(primary.engine, roles=True)
        yield primary, standbys


@pytest.fixture
def servers(replicated: Servers) -> Iterator[Servers]:
    yield replicated
    primary, standbys = replicated
    primary.query("TRUNCATE message_store.messages, message_store.consumers CASCADE")
    for standby in standbys:
        standby.wait_for(primary)


class Asked:
    """Notes the statements of an engine that read messages, and changes one of them.

    Attributes:
        reads: these statements.
        looks: how often a standby was asked how far it is.
        replace: what to replace in the next statement that contains it, and by what.
        before: what to call before the next statement that reads messages.
    """

    def __init__(self, engine: Engine) -> None:
        self.reads: list[str] = []
        self.looks = 0
        self.replace: tuple[str, str] | None = None
        self.before: Callable[[], object] | None = None

        @event.listens_for(engine, "before_cursor_execute", retval=True)
        def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> Any:
            self.looks += "pg_last_wal_replay_lsn" in statement
            # What is asked before a read also looks for one message.
            if ".messages" in statement and "pg_control_system" not in statement:
                self.reads.append(statement)
                call, self.before = self.before, None
                if call is not None:
                    call()
            if self.replace is not None and self.replace[0] in statement:
                statement = statement.replace(*self.replace)
                self.replace = None
            return statement, parameters


class Site:
    """The web interface of a primary server that reads from standbys."""

    def __init__(
        self,
        stack: ExitStack,
        primary: Server,
        standbys: list[Server],
        driver: str,
        max_wait: float,
        **options: Any,
    ) -> None:
        create: Any = create_async_engine if driver != "psycopg" else create_engine
        engines = [
            create(
                server.address.url.set(drivername=f"postgresql+{driver.split()[-1]}"),
                poolclass=NullPool,
                **options,
            )
            for server in (primary, *standbys)
        ]
        here, *there = [Asked(getattr(engine, "sync_engine", engine)) for engine in engines]
        self.on_primary, self.on_standbys = here, there
        self.standbys = Standbys(*engines[1:], max_wait=max_wait)
        app = create_app(engines[0], read_from=self.standbys)
        self._url = stack.enter_context(serve(("127.0.0.1", 0), app))
        self._client = stack.enter_context(httpx2.Client(timeout=20))

    def get(self, view: str = "messages") -> str:
        """Return a page."""
        response = self._client.get(f"{self._url}/{view}", follow_redirects=True)
        assert response.status_code == 200, response.text
        return response.text

    def reads_on_standbys(self) -> list[str]:
        return [read for each in self.on_standbys for read in each.reads]

    def shown(self, view: str = "messages") -> list[int]:
        """Return the data of the messages of a list, which are numbers, oldest first."""
        return sorted(map(int, re.findall(r"<code>(\d+)</code>", self.get(view))))


@contextmanager
def site_of(
    primary: Server,
    *standbys: Server,
    driver: str = "psycopg",
    max_wait: float = 20.0,
    **options: Any,
) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(stack, primary, list(standbys), driver, max_wait, **options)


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str | None]]:
    return [
        (name, getattr(record, "reason", None))
        for record in caplog.records
        if (name := getattr(record, "event", "")).startswith("standby.")
    ]


@pytest.mark.parametrize("driver", DRIVERS)
def test_messages_are_read_from_standbys_and_the_rest_from_the_primary(
    servers: Servers, driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    primary, standbys = servers
    write(primary.engine, "order-1", *range(3))
    write(primary.engine, "other-1", 3)
    at = primary.query("SELECT min(global_position) FROM message_store.messages")
    with site_of(primary, *standbys, driver=driver) as site:
        for view, number in (
            ("messages", 2),
            ("messages?category=order&text=1", 2),
            (f"message?at={at}", 2),
            ("message?stream=order-1&position=2", 3),
            (f"message/data?at={at}", 1),
            (f"search?q={at}", 1),
            ("search?q=o", 2),
            ("", 0),
            ("map", 1),
        ):
            before = len(site.reads_on_standbys())
            site.get(view)
            if view == "":
                # The summary and the activity, which the first page does not wait for.
                wait_until(
                    lambda: (
                        sum("hashint8extended" in read for read in site.reads_on_standbys()) >= 2
                    )
                )
            there = site.reads_on_standbys()
            assert len(there) >= before + number, view
            # The state of the store is that of the primary, and contains its last position.
            assert set(site.on_primary.reads).isdisjoint(there), view
            assert view in {"map", ""} or site.on_primary.reads == [], view
        assert all(each.reads for each in site.on_standbys)
        assert site.shown() == [0, 1, 2, 3]
        looks = [each.looks for each in site.on_standbys]
        for view in ("consumers", "dead-letters", "retention"):
            site.get(view)
        assert [each.looks for each in site.on_standbys] == looks
    assert events(caplog) == []


def test_a_page_shows_what_was_committed_before_the_request(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    primary, (standby, _) = servers
    write(primary.engine, "order-1", 1)
    standby.wait_for(primary)
    with site_of(primary, standby) as site, ThreadPoolExecutor() as threads:
        standby.pause_replay()
        try:
            write(primary.engine, "order-1", 2)
            shown = threads.submit(site.shown)
            wait_until(lambda: site.on_standbys[0].looks > 3)
            assert not shown.done()
        finally:
            standby.resume_replay()
        assert shown.result(20) == [1, 2]
        # Not on disk, and after the position of an open transaction, which consumers wait for.
        with open_writer(primary.engine, "order-3", 3):
            write(primary.engine, "order-4", 4, synchronous=False)
            assert site.shown() == [1, 2, 4]
        assert site.on_primary.reads == []
    assert events(caplog) == []


def test_a_standby_that_lags_is_left_out(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    primary, (lagging, other) = servers
    lagging.pause_replay()
    try:
        write(primary.engine, "order-1", 1)
        with site_of(primary, lagging, max_wait=0.05) as site:
            assert site.shown() == [1]
            assert site.on_primary.reads
            assert events(caplog) == [("standby.unavailable", "lags")]
            looks = site.on_standbys[0].looks
            site.shown()
            assert site.on_standbys[0].looks == looks
        # The other one serves at once.
        with site_of(primary, lagging, other) as site:
            assert site.shown() == [1]
            assert site.on_primary.reads == []
    finally:
        lagging.resume_replay()


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_standby_that_is_down_is_left_out(
    servers: Servers, driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    primary, (down, up) = servers
    write(primary.engine, "order-1", 1)
    down.stop()
    try:
        with site_of(primary, down, up, driver=driver) as site:
            assert site.shown() == [1]
            assert site.on_primary.reads == []
        with site_of(primary, down, driver=driver) as site:
            assert site.shown() == [1]
            assert site.on_primary.reads
    finally:
        down.start(primary.address)
    assert events(caplog) == [("standby.unavailable", "can't be read")] * 2
    assert "ERROR" not in caplog.text


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_standby_that_hangs_leaves_time_for_the_primary(
    servers: Servers, driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    primary, (hanging, _) = servers
    write(primary.engine, "order-1", 1)
    with site_of(primary, hanging, driver=driver) as site, stopped(hanging):
        assert site.shown() == [1]
        assert site.on_primary.reads
        assert events(caplog) == [("standby.unavailable", "can't be read")]
        assert "did not answer within 2." in caplog.text


def test_a_standby_that_is_promoted_during_a_read_is_left_out(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    primary, (standby, _) = servers
    write(primary.engine, "order-1", 1)

    def promote() -> None:
        standby.promote()
        write(standby.engine, "order-2", 2)

    with site_of(primary, standby) as site:
        site.on_standbys[0].before = promote
        try:
            assert site.shown() == [1]
            assert len(site.on_standbys[0].reads) == 2
        finally:
            standby.stop()
            standby.copy(primary)
            standby.start(primary.address)
    assert events(caplog) == [("standby.unavailable", "is no standby")]


def test_a_query_that_the_replay_cancels_is_repeated(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    primary, (standby, _) = servers
    primary.query("CREATE TABLE removed AS SELECT generate_series(1, 100)")
    write(primary.engine, "order-1", 1)
    standby.wait_for(primary)

    def vacuum() -> None:
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        wait_until(lambda: standby.query(sleeping))
        primary.query("DELETE FROM removed")
        primary.query("VACUUM removed")

    with site_of(primary, standby) as site, ThreadPoolExecutor() as threads:
        slow(site.on_standbys[0])
        vacuumed = threads.submit(vacuum)
        assert site.shown() == [1]
        vacuumed.result(20)
        assert len(site.on_standbys[0].reads) == 3
        assert site.on_primary.reads == []
    assert standby.query("SELECT sum(confl_snapshot) FROM pg_stat_database_conflicts") > 0
    assert events(caplog) == []


@pytest.mark.parametrize(
    "change",
    [
        (" AS place", " AS place, (SELECT pg_sleep(4)) AS slow"),
        (" AS place", " AS place, 1 / 0 AS wrong"),
    ],
)
def test_a_query_that_fails_by_itself_does_not_count_against_the_standby(
    servers: Servers, caplog: pytest.LogCaptureFixture, change: tuple[str, str]
) -> None:
    primary, (standby, _) = servers
    write(primary.engine, "order-1", 1)
    with site_of(primary, standby) as site:
        site.on_standbys[0].replace = change
        assert site.shown() == [1]
        assert site.on_primary.reads
        site.on_primary.reads.clear()
        assert site.shown() == [1]
        assert site.on_primary.reads == []
    assert events(caplog) == []


def test_queries_that_take_long_together_do_not_count_against_the_standby(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    primary, (standby, _) = servers
    write(primary.engine, "order-1", 1)
    database = MessageDatabase(BoundedDatabase(primary.engine), Standbys(standby.engine))

    def query(connection: Connection) -> bool:
        for _ in range(10):
            connection.execute(
                text("SELECT pg_sleep(CASE WHEN pg_is_in_recovery() THEN 0.3 ELSE 0 END)")
            )
        return is_on_standby(connection)

    assert asyncio.run(database.read(query)) is False
    assert asyncio.run(database.read(is_on_standby)) is True
    assert events(caplog) == []


def test_a_busy_primary_does_not_count_against_the_standby(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    """It leaves the standby too little time."""
    primary, (standby, _) = servers
    write(primary.engine, "order-1", 1)
    bounded = BoundedDatabase(primary.engine)
    database = MessageDatabase(bounded, Standbys(standby.engine))
    query = text("SELECT pg_sleep(3)")

    async def run() -> bool:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(bounded.read(lambda db: db.scalar(query), seconds=4))
            # These have begun when this one does.
            return await tasks.create_task(database.read(is_on_standby))

    assert asyncio.run(run()) is False
    assert asyncio.run(database.read(is_on_standby)) is True
    assert events(caplog) == []


def is_on_standby(connection: Connection) -> bool:
    found: bool = connection.scalar(text("SELECT pg_is_in_recovery()"))
    return found


def test_another_database_is_left_out(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    primary, (standby, _) = servers
    primary.query("CREATE DATABASE other TEMPLATE template0")
    write(primary.engine, "order-1", 1)
    standby.wait_for(primary)
    migrations.upgrade(create_engine(primary.address.url.set(database="other"), poolclass=NullPool))
    standby.wait_for(primary)
    wrong = create_engine(standby.address.url.set(database="other"), poolclass=NullPool)
    app = create_app(primary.engine, read_from=Standbys(wrong))
    with serve(("127.0.0.1", 0), app) as url:
        assert "<code>1</code>" in httpx2.get(f"{url}/messages").text
    assert events(caplog) == [("standby.unavailable", OTHER_HISTORY)]


def test_a_store_of_another_name(servers: Servers) -> None:
    primary, (standby, _) = servers
    migrations.upgrade(primary.engine, schema="shop")
    options = {"execution_options": {"schema_translate_map": {"message_store": "shop"}}}
    write(primary.engine.execution_options(**options["execution_options"]), "order-1", 7)
    app = create_app(
        primary.engine.execution_options(**options["execution_options"]),
        read_from=Standbys(standby.engine, max_wait=20),
    )
    asked = Asked(standby.engine)
    with serve(("127.0.0.1", 0), app) as url:
        assert "<code>7</code>" in httpx2.get(f"{url}/messages").text
    assert asked.reads


def test_an_older_store_has_to_be_upgraded(servers: Servers) -> None:
    primary, (standby, _) = servers
    write(primary.engine, "order-1", 1)
    primary.query("ALTER FUNCTION message_store.read_bound RENAME TO missing")
    try:
        with serve(
            ("127.0.0.1", 0), create_app(primary.engine, read_from=Standbys(standby.engine))
        ) as url:
            response = httpx2.get(f"{url}/messages")
        assert response.status_code == 503
        assert "is not up to date" in response.text
    finally:
        primary.query("ALTER FUNCTION message_store.missing RENAME TO read_bound")


def test_dead_rows_are_counted_on_the_primary(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdb_sqla.admin.store_summary._MANY_DEAD_ROWS", 10)
    primary, (standby, _) = servers
    write(primary.engine, "order-1", *range(200))
    primary.query("DELETE FROM message_store.messages WHERE position < 100")
    wait_until(
        lambda: primary.query(
            "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'messages' "
            "AND schemaname = 'message_store'"
        )
    )
    with site_of(primary, standby) as site:
        assert "Autovacuum does not keep up" in site.get("")
        assert site.on_standbys[0].reads


def test_a_reader_may_read_from_standbys(servers: Servers) -> None:
    primary, (standby, _) = servers
    primary.query("CREATE ROLE viewer LOGIN IN ROLE message_store_reader")
    write(primary.engine, "order-1", 1)
    here, there = (
        create_engine(server.address.url.set(username="viewer"), poolclass=NullPool)
        for server in (primary, standby)
    )
    asked = Asked(here)
    app = create_app(here, read_from=Standbys(there, max_wait=20))
    with serve(("127.0.0.1", 0), app) as url, open_writer(primary.engine, "order-3", 3):
        write(primary.engine, "order-4", 4, synchronous=False)
        assert "<code>4</code>" in httpx2.get(f"{url}/messages").text
    assert asked.reads == []


def test_the_command_reads_from_all_standbys_given(servers: Servers) -> None:
    primary, (down, standby) = servers
    write(primary.engine, "order-1", 1)
    down.stop()
    urls = [
        str(server.address.url.render_as_string(hide_password=False))
        for server in (primary, primary, down, standby)
    ]
    given = [item for url in urls[1:] for item in ("--read-from", url)]
    command = [*MDB, "web", "--url", urls[0], "--address", "127.0.0.1:0", *given]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        (url,) = re.findall(r"http://\S+/", process.stdout.readline())
        for _ in range(3):
            assert "<code>1</code>" in httpx2.get(f"{url}messages").text
        process.send_signal(signal.SIGTERM)
        _, problems = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
        down.start(primary.address)
    names = [server.address.url.query["host"] for server in (primary, down, standby)]
    said = [f"Standby {name}:5432/postgres is not read from" in problems for name in names]
    assert said == [True, True, False]


def test_arguments() -> None:
    engine = create_engine("postgresql+psycopg://")
    with pytest.raises(InvalidArgument, match="read_from"):
        create_app(engine, read_from=engine)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="must have async engines"):
        create_app(create_async_engine("postgresql+psycopg://"), read_from=Standbys(engine))


def test_a_standby_is_read_from_after_a_failover(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    """From its next restart point on: what it had replayed before may be another history."""
    primary, (standby, _) = servers
    write(primary.engine, "order-1", 1)
    standby.wait_for(primary)
    primary.crash()
    (primary.data / "standby.signal").touch()
    primary.start(primary.address)
    primary.promote()
    write(primary.engine, "order-1", 2)
    standby.wait_for(primary)
    with site_of(primary, standby) as site:
        assert site.shown() == [1, 2]
        assert site.on_primary.reads
    assert events(caplog) == [("standby.unavailable", OTHER_HISTORY)]
    primary.query("CHECKPOINT")
    standby.wait_for(primary)
    standby.query("CHECKPOINT")
    with site_of(primary, standby) as site:
        assert site.shown() == [1, 2]
        assert site.on_primary.reads == []


OTHER_HISTORY = "has another history, or no restart point since the last promotion"


def slow(asked: Asked) -> None:
    """Have the next list of messages take four seconds, which no query may."""
    asked.replace = " AS place", " AS place, (SELECT pg_sleep(4)) AS slow"


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """Stop all processes of a server, which accepts connections, but does not answer."""
    postmaster = server.postmaster
    os.kill(postmaster, signal.SIGSTOP)  # first: it starts the others
    processes = [postmaster]
    for status in Path("/proc").glob("[0-9]*/stat"):
        if status.exists() and int(status.read_text().rpartition(")")[2].split()[1]) == postmaster:
            processes.append(int(status.parent.name))
            os.kill(processes[-1], signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(processes):
            os.kill(process, signal.SIGCONT)
