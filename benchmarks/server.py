"""The server of a run, and databases on it with a store of either kind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import orjson
import psycopg
from sqlalchemy import URL, Engine, NullPool, create_engine

from benchmarks import packages
from benchmarks.client import connect
from benchmarks.content import fill
from mdb_sqla import migrations
from mdb_sqla.embedded import EmbeddedPostgres
from tests.side_by_side.message_db import MessageDB, conninfo

__all__ = ["SETTINGS", "Server", "opened_engine"]

SETTINGS = {
    # What PostgreSQL's manual advises for a server: a quarter of the memory.
    "shared_buffers": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 2**22}MB",
    # Neither starts in the middle of a round.
    "autovacuum": "off",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
}
"""All else is as PostgreSQL has it: what is committed is durable."""


class Server:
    """A running server."""

    def __init__(self, postgres: EmbeddedPostgres, message_db: MessageDB, stack: ExitStack) -> None:
        self.message_db = message_db
        self._postgres = postgres
        self._stack = stack
        self._kept: dict[str, URL] = {}
        self._names = (f"side_{number}" for number in count())
        self._filled: dict[tuple[int, int], URL] = {}

    @classmethod
    @contextmanager
    def running(cls, folder: Path) -> Iterator[Server]:
        """Start a server; the original is unpacked into a folder.

        Raises:
            EmbeddedPostgresError: the server can't be started.
            MessageDBUnavailable: the original can't be fetched.
        """
        message_db = MessageDB.fetch("1.3.0", folder)
        with EmbeddedPostgres(settings=SETTINGS) as postgres, ExitStack() as stack:
            yield cls(postgres, message_db, stack)

    def kept(self, name: str, make: Callable[[ExitStack], URL]) -> URL:
        """Return a database that several experiments share, made for the first of them."""
        if name not in self._kept:
            self._kept[name] = make(self._stack)
        return self._kept[name]

    @contextmanager
    def database(self) -> Iterator[URL]:
        """Create an empty database, and drop it at the end."""
        name = next(self._names)
        self._run(f"CREATE DATABASE {name}")
        try:
            yield self._postgres.url(name)
        finally:
            self._run(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def ours(self) -> Iterator[URL]:
        """Create a database with our store in it."""
        with self.database() as url:
            migrations.upgrade(create_engine(url, poolclass=NullPool))
            yield url

    def filled(self, messages: int, categories: int) -> URL:
        """Return a database with messages in our store, which is filled once and kept.

        They are in memory: the question is not how fast the disk is.
        """
        if (messages, categories) not in self._filled:
            name = next(self._names)
            self._run(f"CREATE DATABASE {name}")
            url = self._postgres.url(name)
            migrations.upgrade(create_engine(url, poolclass=NullPool))
            with connect(url) as connection:
                fill(connection, messages, categories)
                connection.execute("CREATE EXTENSION pg_prewarm")
                connection.execute(
                    "SELECT pg_prewarm(pg_class.oid) FROM pg_class "
                    "WHERE relname LIKE 'messages%' AND relkind IN ('r', 'i')"
                )
            self._filled[messages, categories] = url
        return self._filled[messages, categories]

    @contextmanager
    def original(self) -> Iterator[URL]:
        """Create a database with the original in it."""
        with self.database() as url:
            self.message_db.install(url)
            yield url

    @contextmanager
    def eventsourcing(self) -> Iterator[URL]:
        """Create a database with the table of pyeventsourcing in it."""
        with self.database() as url:
            packages.create_events_table(url)
            yield url

    @contextmanager
    def setting(self, **settings: str) -> Iterator[None]:
        """Change settings of the whole server for a while."""
        for name, value in settings.items():
            self._run(f"ALTER SYSTEM SET {name} = {value}")
        self._run("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            for name in settings:
                self._run(f"ALTER SYSTEM RESET {name}")
            self._run("SELECT pg_reload_conf()")

    def version(self) -> str:
        return self._run("SHOW server_version")

    def _run(self, statement: str) -> str:
        with psycopg.connect(conninfo(self._postgres.url()), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return str(row[0]) if row else ""


@contextmanager
def opened_engine(server: Server) -> Iterator[Engine]:
    """An engine with orjson, on a database of its own with our store in it."""
    with server.ours() as url:
        engine = create_engine(url, json_serializer=orjson.dumps, json_deserializer=orjson.loads)
        yield engine
        engine.dispose()
